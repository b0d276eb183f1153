"""Slow, obvious answers to questions of robustness: closed forms, linear programs, enumerated activation regions."""

import itertools

import numpy as np
import torch

DUAL = {"Linf": 1, "L2": 2, "L1": torch.inf}


def linear_distances(weight, bias, x, labels, norm):
    """Distance of each x to the nearest boundary of ``weight x + bias``: margin over the normal's dual norm."""
    scores = x @ weight.T + bias
    best = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for other in range(len(weight)):
        normal = weight[other] - weight[labels]
        gap = scores[range(len(x)), labels] - scores[:, other]
        distance = gap / torch.linalg.vector_norm(normal, DUAL[norm], dim=1)
        best = torch.where(labels == other, best, torch.minimum(best, distance))
    return best.clamp_min(0)


def nearest_in_box(normal, value, x, low, high, norm):
    """Norm of the smallest d with normal . d = -value and low <= x + d <= high, by a solver; None if there is none."""
    from scipy.optimize import linprog

    n = len(x)
    if norm == "L2":
        below, above = 0.0, 1e9  # d = clip(m normal), the m by halving

        def gain(m):
            return normal @ np.clip(m * -np.sign(value) * normal, low - x, high - x)

        if abs(gain(above)) < abs(value):
            return None
        for _ in range(200):
            m = (below + above) / 2
            below, above = (m, above) if abs(gain(m)) < abs(value) else (below, m)
        return np.linalg.norm(np.clip(above * -np.sign(value) * normal, low - x, high - x))
    if norm == "Linf":  # values d, t; minimise t with -t <= d <= t
        cost = np.r_[np.zeros(n), 1.0]
        sides = np.r_[np.c_[np.eye(n), -np.ones(n)], np.c_[-np.eye(n), -np.ones(n)]]
        found = linprog(
            cost, sides, np.zeros(2 * n), np.r_[normal, 0.0][None], [-value],
            bounds=[*zip(low - x, high - x, strict=True), (0, None)],
        )  # fmt: skip
    else:  # values p, q; d = p - q, minimise the sum of both
        found = linprog(
            np.ones(2 * n), A_eq=np.r_[normal, -normal][None], b_eq=[-value],
            bounds=[*((0, max(h, 0)) for h in high - x), *((0, max(-v, 0)) for v in low - x)],
        )  # fmt: skip
    return found.fun if found.status == 0 else None


def worst_margins(net, x, labels, radius, norm):
    """Largest margin of another class in the ball around each x, for Linear - ReLU - Linear in few dimensions.

    The margin is linear in each activation region. Its maximum over a region and a ball with flat sides lies in a
    corner, where as many hinges and sides meet as there are dimensions; over a Euclidean ball it may also lie where
    the sphere meets a few hinges, at the point farthest along one of the regions' gradients. All these points are
    tried, whether they belong to the region or not: the margin at a point of the ball is never too large.
    """
    inner, outer = net[0], net[2]
    v, c = inner.weight.detach(), inner.bias.detach()
    n = x.shape[1]
    worst = torch.full((len(x),), -torch.inf, dtype=torch.float64)
    for points in _candidates(v, c, outer.weight.detach(), x, radius, norm):
        offset = points - x
        size = torch.linalg.vector_norm(offset, {"Linf": torch.inf, "L2": 2, "L1": 1}[norm], dim=1)
        with torch.no_grad():
            scores = net(points.nan_to_num(0.0))
        own = scores.gather(1, labels[:, None])[:, 0]
        margin = scores.scatter(1, labels[:, None], -torch.inf).amax(1) - own
        inside = (size <= radius * (1 + 1e-9)) & points.isfinite().all(1)
        worst = torch.where(inside, torch.maximum(worst, margin), worst)
    assert n <= 3
    return worst


def _candidates(v, c, out, x, radius, norm):
    n = x.shape[1]
    yield x
    planes = [(v[i].expand(len(x), -1), -c[i].expand(len(x))) for i in range(len(v))]
    if norm == "Linf":
        for i, s in itertools.product(range(n), (-1.0, 1.0)):
            unit = torch.eye(n, dtype=x.dtype)[i].expand(len(x), -1)
            planes.append((unit, x[:, i] + s * radius))
    elif norm == "L1":
        for signs in itertools.product((-1.0, 1.0), repeat=n):
            unit = torch.tensor(signs, dtype=x.dtype).expand(len(x), -1)
            planes.append((unit, (unit * x).sum(1) + radius))
    for chosen in itertools.combinations(planes, n):
        matrix = torch.stack([normal for normal, _ in chosen], 1)
        if float(torch.linalg.det(matrix[0]).abs()) > 1e-12:
            yield torch.linalg.solve(matrix, torch.stack([level for _, level in chosen], 1))
    if norm == "L2":
        yield from _on_the_sphere(v, c, out, x, radius)


def _on_the_sphere(v, c, out, x, radius):
    n, hidden = x.shape[1], len(v)
    patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=hidden)), dtype=x.dtype)
    pairs = [out[i] - out[j] for i in range(len(out)) for j in range(len(out)) if i != j]
    gradients = torch.cat([(patterns * pair) @ v for pair in pairs])
    for size in range(n):
        for chosen in itertools.combinations(range(hidden), size):
            rows = list(chosen)
            inverse = torch.linalg.pinv(v[rows]) if rows else torch.zeros(n, 0, dtype=x.dtype)
            flat = torch.eye(n, dtype=x.dtype) - inverse @ v[rows]
            foot = x - (x @ v[rows].T + c[rows]) @ inverse.T
            left = (radius**2 - (foot - x).square().sum(1)).clamp_min(0).sqrt()[:, None]
            for gradient in torch.unique(gradients @ flat.T, dim=0):
                length = gradient.norm()
                if length > 1e-12:
                    yield foot + left * gradient / length


def worst_margin_by_programs(net, x, label, radius):
    """The same for one x, two classes and Linf, by one linear program per activation region."""
    from scipy.optimize import linprog

    v, c = net[0].weight.detach().numpy(), net[0].bias.detach().numpy()
    out, d = net[2].weight.detach().numpy(), net[2].bias.detach().numpy()
    up, shift = out[1 - label] - out[label], d[1 - label] - d[label]
    best = -np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=len(v)):
        on = np.array(pattern)
        gradient, level = (up * on) @ v, (up * on) @ c + shift
        side = np.where(on > 0, -1.0, 1.0)  # on: v x + c >= 0
        found = linprog(
            -gradient, side[:, None] * v, -side * c,
            bounds=list(zip(x.numpy() - radius, x.numpy() + radius, strict=True)),
        )  # fmt: skip
        if found.status == 0:
            best = max(best, -found.fun + level)
    return best
