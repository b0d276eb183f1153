"""Small differentiable programs: dynamic programming, filters, fixed points, generated weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .entry import ZooModel, entry

FAMILY = "programs"


class HyperNetwork(nn.Module):
    """One part of the input generates the convolution that reads the other part."""

    def __init__(self):
        super().__init__()
        self.kernel, self.bias, self.head = nn.Linear(5, 4 * 2 * 3), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        n = x.shape[0]
        kernel = torch.tanh(self.kernel(code)).view(4 * n, 2, 3)
        read = F.conv1d(x.reshape(1, 2 * n, -1), kernel, self.bias(code).flatten(), groups=n)
        return self.head(F.relu(read.view(n, 4, -1)).mean(-1))


class BilinearNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.bilinear, self.head = nn.Bilinear(6, 5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.head(torch.addcmul(F.silu(self.bilinear(x, y)), x[:, :1], y[:, :1], value=0.5))


class ChainField(nn.Module):
    """The log-partition function of a linear-chain conditional random field, less one path's score."""

    def __init__(self):
        super().__init__()
        self.emit, self.transition = nn.Linear(4, 5), nn.Parameter(torch.zeros(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        emitted = self.emit(x)
        alpha = emitted[:, 0]
        for t in range(1, x.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + 3 * self.transition, 1) + emitted[:, t]
        return torch.logsumexp(alpha, -1, keepdim=True) - emitted[:, :, 2].sum(1, True)


class Sinkhorn(nn.Module):
    """Entropic transport between two sets, five rounds, in the exponential domain."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        cost = (self.embed(x)[:, :, None] - self.embed(y)[:, None]).pow(2).sum(-1)
        plan = torch.exp(-cost)
        for _ in range(5):
            plan = plan / plan.sum(2, keepdim=True)
            plan = plan / plan.sum(1, keepdim=True)
        return (plan * cost).sum((1, 2))[:, None]


class SoftWarping(nn.Module):
    """Soft dynamic time warping against a template: a table filled cell by cell."""

    def __init__(self):
        super().__init__()
        self.template = nn.Parameter(torch.zeros(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        cost = torch.cdist(x, self.template[None].expand(x.shape[0], -1, -1)) ** 2
        infinite = torch.full_like(cost[:, 0, 0], 1e4)
        table = {(0, 0): torch.zeros_like(infinite)}
        for i in range(1, cost.shape[1] + 1):
            for j in range(1, cost.shape[2] + 1):
                before = [table.get(k, infinite) for k in ((i - 1, j), (i, j - 1), (i - 1, j - 1))]
                soft = -torch.logsumexp(-torch.stack(before), 0)
                table[i, j] = cost[:, i - 1, j - 1] + soft
        return table[cost.shape[1], cost.shape[2]][:, None]


class KalmanFilter(nn.Module):
    """A linear filter whose measurement noise is predicted from each measurement."""

    def __init__(self):
        super().__init__()
        self.noise, self.move = nn.Linear(2, 2), nn.Parameter(torch.zeros(3, 3))
        self.observe = nn.Parameter(torch.zeros(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        eye = torch.eye(3, dtype=x.dtype)
        mean, spread, loss = x.new_zeros(x.shape[0], 3, 1), eye.expand(x.shape[0], 3, 3), 0.0
        for z in x.unbind(1):
            mean, spread = self.move @ mean, self.move @ spread @ self.move.mT + 0.1 * eye
            total = self.observe @ spread @ self.observe.mT + torch.diag_embed(F.softplus(self.noise(z)))
            gain = spread @ self.observe.mT @ torch.linalg.inv(total)
            error = z[..., None] - self.observe @ mean
            loss = loss + (error.mT @ torch.linalg.solve(total, error)).flatten(1)
            mean, spread = mean + gain @ error, (eye - gain @ self.observe) @ spread
        return torch.cat([mean.flatten(1), loss], 1)


class DeepEquilibrium(nn.Module):
    """Twelve steps of a damped fixed-point iteration, the last with layer normalisation."""

    def __init__(self):
        super().__init__()
        self.inject, self.state, self.norm = nn.Linear(6, 10), nn.Linear(10, 10), nn.LayerNorm(10)

    def forward(self, x: Tensor) -> Tensor:
        z, injected = torch.zeros(x.shape[0], 10, dtype=x.dtype), self.inject(x)
        for _ in range(12):
            z = 0.5 * z + 0.5 * torch.tanh(self.state(z) + injected)
        return self.norm(z + injected)


class Hyperbolic(nn.Module):
    """The exponential map into the Poincare ball and distances to points there."""

    def __init__(self):
        super().__init__()
        self.body, self.points = nn.Linear(6, 3), nn.Parameter(torch.zeros(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        v = self.body(x)
        norm = v.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        z = torch.tanh(norm) * v / norm
        points = 0.5 * torch.tanh(self.points)
        apart = (z[:, None] - points).square().sum(-1)
        room = (1 - z.square().sum(-1, keepdim=True)) * (1 - points.square().sum(-1))
        return torch.acosh(1 + 2 * apart / room + 1e-9)


class MixtureDensity(nn.Module):
    """The log-density of a Gaussian mixture whose parameters a net gives, through distributions."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 9))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        weight, mean, scale = self.body(x).chunk(3, -1)
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=weight, validate_args=False),
            torch.distributions.Normal(mean, F.softplus(scale) + 0.1, validate_args=False),
            validate_args=False,
        )
        return mixture.log_prob(y[:, 0])[:, None]


class SoftTree(nn.Module):
    """A soft decision tree: products of gates along the way to each leaf."""

    def __init__(self):
        super().__init__()
        self.gates, self.leaves = nn.Linear(6, 7), nn.Linear(8, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.sigmoid(2 * self.gates(x))
        reach = torch.ones_like(gates[:, :1])
        for depth in range(3):
            here = gates[:, 2**depth - 1 : 2 ** (depth + 1) - 1]
            reach = torch.stack([reach * here, reach * (1 - here)], -1).flatten(1)
        return self.leaves(reach)


class Sparsemax(nn.Module):
    """TabNet's mask: a projection on the simplex found by sorting."""

    def __init__(self):
        super().__init__()
        self.score, self.head = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(x)
        ordered = scores.sort(-1, descending=True).values
        count = torch.arange(1, 7, dtype=x.dtype)
        tau = ((ordered.cumsum(-1) - 1) / count).amax(-1, keepdim=True)
        return self.head(x * F.relu(scores - tau))


class SoftQuantiles(nn.Module):
    """Quantiles, a soft sort by pairwise comparison, and a soft histogram."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 1), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        v = self.body(x)[..., 0]
        rank = torch.sigmoid(4 * (v[:, :, None] - v[:, None])).sum(-1)
        histogram = torch.exp(-(v[..., None] - torch.linspace(-1, 1, 4, dtype=x.dtype)).square() * 4).mean(1)
        levels = torch.tensor([0.3, 0.7], dtype=x.dtype)
        return self.head(torch.cat([rank, histogram, v.quantile(levels, dim=1).T], 1))


class Patches(nn.Module):
    """Unfold, attend over patches, fold back; pixel unshuffle and bicubic resizing on the way."""

    def __init__(self):
        super().__init__()
        self.mix, self.end = nn.Linear(18, 18), nn.Conv2d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        columns = F.unfold(x, 3, stride=3).mT
        columns = columns + F.softmax(columns @ columns.mT / 4, -1) @ F.mish(self.mix(columns))
        image = F.fold(columns.mT, (9, 9), 3, stride=3)
        image = F.interpolate(image, size=(8, 8), mode="bicubic", align_corners=False)
        return self.end(F.pixel_unshuffle(image, 2)).flatten(1)


class SparseGraph(nn.Module):
    """Two propagation steps with a sparse adjacency matrix, features of the batch side by side."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def spread(self, x: Tensor) -> Tensor:
        index = torch.tensor([[0, 1, 2, 3, 4, 1, 3], [1, 2, 3, 4, 0, 0, 1]])
        adjacency = torch.sparse_coo_tensor(index, x.new_full((7,), 0.6), (5, 5), check_invariants=False)
        wide = x.transpose(0, 1).flatten(1)
        return x + torch.sparse.mm(adjacency, wide).unflatten(1, (x.shape[0], -1)).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.spread(F.relu(self.first(self.spread(x))))).amax(1)


class RadianceField(nn.Module):
    """Positional encoding, a net for density and colour, and volume rendering along a ray."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(18, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, origin: Tensor, direction: Tensor) -> Tensor:
        depth = torch.linspace(0.2, 1.5, 6, dtype=origin.dtype)[:, None]
        points = origin[:, None] + depth * F.normalize(direction, dim=-1)[:, None]
        waves = points[..., None] * 2.0 ** torch.arange(3, dtype=origin.dtype) * math.pi / 4
        density, colour = self.body(torch.cat([waves.sin(), waves.cos()], -1).flatten(2)).split([1, 3], -1)
        opacity = 1 - torch.exp(-F.relu(density) * 0.3)
        through = torch.cumprod(torch.cat([torch.ones_like(opacity[:, :1]), 1 - opacity], 1), 1)[:, :-1]
        return (opacity * through * torch.sigmoid(colour)).sum(1)


class RandomFeatures(nn.Module):
    """A Performer's positive random features, causal, with running sums."""

    def __init__(self):
        super().__init__()
        self.qkv, self.features = nn.Linear(8, 24), nn.Parameter(torch.zeros(8, 6))

    def lift(self, x: Tensor) -> Tensor:
        projected = x @ self.features
        return torch.exp(projected - x.square().sum(-1, keepdim=True) / 8 - projected.amax((1, 2), True))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = self.lift(q), self.lift(k)
        top = torch.einsum("blm,blmd->bld", q, torch.einsum("blm,bld->blmd", k, v).cumsum(1))
        return (top / (q * k.cumsum(1)).sum(-1, keepdim=True))[:, -1]


class LossHead(nn.Module):
    """Losses as outputs: cross-entropy, Huber, binary, divergence and negative log-likelihood."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        label, fixed = torch.ones(len(y), dtype=torch.long), torch.full_like(y, 0.25)
        return torch.stack(
            [
                F.cross_entropy(y, label, reduction="none", label_smoothing=0.1),
                F.smooth_l1_loss(y, fixed, reduction="none").sum(-1),
                F.binary_cross_entropy_with_logits(y, fixed, reduction="none").sum(-1),
                F.kl_div(y.log_softmax(-1), fixed, reduction="none").sum(-1),
                F.gaussian_nll_loss(y, fixed, y.exp(), reduction="none").sum(-1),
                F.mse_loss(y, fixed, reduction="none").mean(-1),
            ],
            1,
        )


def _entries() -> tuple[ZooModel, ...]:
    rows = {
        "hyper_network": (HyperNetwork, (2, 8), (5,)),
        "bilinear": (BilinearNet, (6,), (5,)),
        "chain_field": (ChainField, (5, 4)),
        "sinkhorn": (Sinkhorn, (4, 3), (5, 3)),
        "soft_warping": (SoftWarping, (5, 2)),
        "kalman_filter": (KalmanFilter, (4, 2)),
        "deep_equilibrium": (DeepEquilibrium, (6,)),
        "hyperbolic": (Hyperbolic, (6,)),
        "mixture_density": (MixtureDensity, (6,), (1,)),
        "soft_tree": (SoftTree, (6,)),
        "sparsemax": (Sparsemax, (6,)),
        "soft_quantiles": (SoftQuantiles, (6, 3)),
        "patches": (Patches, (2, 9, 9)),
        "sparse_graph": (SparseGraph, (5, 4)),
        "radiance_field": (RadianceField, (3,), (3,)),
        "random_features": (RandomFeatures, (5, 8)),
        "loss_head": (LossHead, (6,)),
    }
    return tuple(entry(name, FAMILY, make, *shapes, gain=1.6) for name, (make, *shapes) in rows.items())


ENTRIES = _entries()
