"""The rules as the papers define them, on explicit matrices of contributions: slow and obvious.

Re-derived from Bach et al. 2015 (epsilon, alpha-beta), Montavon et al. 2017 (z+, w-square, box) and
2019 (gamma), Lapuschkin et al. 2019 (flat) and Andeol et al. 2021 (gamma for any sign). Each takes one
example: x (I,), weights w (J, I), bias b (J,), relevance r (J,), and returns the relevance of x.
"""

import torch


def contributions(x, w):
    return x[None, :] * w


def epsilon(x, w, b, r, eps):
    z = contributions(x, w)
    total = z.sum(1) + b
    sign = torch.where(total >= 0, 1.0, -1.0)
    return torch.stack([(z[:, i] / (total + eps * sign) * r).sum() for i in range(len(x))])


def gamma(x, w, b, r, value):
    z = contributions(x, w)
    found = torch.zeros_like(x)
    for j in range(len(r)):
        up = z[j].sum() + b[j] >= 0
        favour = (lambda t: t.clamp(min=0)) if up else (lambda t: t.clamp(max=0))
        favoured = z[j] + value * favour(z[j])
        bias = b[j] + value * favour(b[j])
        found += favoured / (favoured.sum() + bias) * r[j]
    return found


def alpha_beta(x, w, b, r, alpha, beta):
    z = contributions(x, w)
    found = torch.zeros_like(x)
    for j in range(len(r)):
        up, down = z[j].clamp(min=0), z[j].clamp(max=0)
        total_up, total_down = up.sum() + b[j].clamp(min=0), down.sum() + b[j].clamp(max=0)
        if total_up > 0:
            found += alpha * up / total_up * r[j]
        if total_down < 0:
            found -= beta * down / total_down * r[j]
    return found


def z_plus(x, w, b, r):
    return alpha_beta(x, w, b, r, 1.0, 0.0)


def z_box(x, w, b, r, low, high):
    low, high = torch.full_like(x, low), torch.full_like(x, high)
    z = x * w - low * w.clamp(min=0) - high * w.clamp(max=0)
    return ((z / z.sum(1, keepdim=True)) * r[:, None]).sum(0)


def w_square(x, w, b, r):
    return (w**2 / (w**2).sum(1, keepdim=True) * r[:, None]).sum(0)


def flat(x, w, b, r):
    connected = (w != 0).to(x)
    return (connected / connected.sum(1, keepdim=True) * r[:, None]).sum(0)


def dense(layer, shape):
    """Return weights and bias of a layer as a matrix and a vector, from its Jacobian."""
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v).flatten(), zero)
    return jacobian.reshape(jacobian.shape[0], -1), layer(zero).flatten().detach()
