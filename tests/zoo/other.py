"""Models outside the mainstream: graphs, mixtures, solvers, sets, sorting."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .entry import ZooModel, entry

FAMILY = "other"
NODES, WIDTH = 6, 8
EDGES = ((0, 1, 2, 3, 4, 5, 0, 2, 4, 1), (1, 2, 3, 4, 5, 0, 3, 5, 1, 4))


class GraphSum(nn.Module):
    """Mean aggregation over edges with ``index_add_``, nodes of a batch side by side."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2 * WIDTH, WIDTH), nn.Linear(2 * WIDTH, WIDTH)])
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        source, target = torch.tensor(EDGES)
        degree = torch.bincount(target, minlength=NODES).clamp(min=1).to(x.dtype)[:, None]
        for layer in self.layers:
            summed = torch.zeros_like(x).index_add_(1, target, x[:, source])
            x = F.relu(layer(torch.cat([x, summed / degree], -1)))
        return self.head(x.sum(1))


class GraphAttention(nn.Module):
    """Attention over edges: a softmax of each node's neighbours through ``scatter`` operations."""

    def __init__(self, reduce: str):
        super().__init__()
        self.message, self.score = nn.Linear(2 * WIDTH, WIDTH), nn.Linear(2 * WIDTH, 1)
        self.head, self.reduce = nn.Linear(WIDTH, 3), reduce

    def forward(self, x: Tensor) -> Tensor:
        source, target = torch.tensor(EDGES)
        pair = torch.cat([x[:, source], x[:, target]], -1)
        weight = F.leaky_relu(self.score(pair), 0.2).exp()
        index = target[None, :, None].expand_as(weight)
        total = x.new_zeros(x.shape[0], NODES, 1).scatter_add(1, index, weight)
        message = F.silu(self.message(pair)) * weight / total.gather(1, index)
        into = index.expand(-1, -1, WIDTH)
        return self.head(torch.zeros_like(x).scatter_reduce(1, into, message, self.reduce).mean(1))


class WaveNet(nn.Module):
    """Dilated causal convolutions with tanh times sigmoid gates and skip connections."""

    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(2, WIDTH, 1)
        self.gated = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 2, dilation=2**i) for i in range(3))
        self.mix = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(3))
        self.end = nn.Conv1d(WIDTH, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, skips = self.start(x), 0
        for i, (gated, mix) in enumerate(zip(self.gated, self.mix, strict=True)):
            a, b = gated(F.pad(x, (2**i, 0))).chunk(2, 1)
            z = mix(torch.tanh(a) * torch.sigmoid(b))
            x, skips = x + z, skips + z
        return self.end(F.relu(skips))[..., -1]


class FactorisationMachine(nn.Module):
    """Pairwise interactions as the square of a sum minus the sum of squares, plus cross layers."""

    def __init__(self):
        super().__init__()
        self.linear, self.factors = nn.Linear(10, 1), nn.Linear(10, 4, bias=False)
        self.cross = nn.ModuleList(nn.Linear(10, 10) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        square_of_sum = self.factors(x).pow(2)
        sum_of_squares = x.square() @ self.factors.weight.square().T
        start, z = x, x
        for layer in self.cross:
            z = start * layer(z) + z
        return self.linear(x) + 0.5 * (square_of_sum - sum_of_squares).sum(-1, True) + self.linear(z).tanh()


class Mixture(nn.Module):
    """Soft mixture of experts, all of them evaluated as one batched product."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(10, 4)
        self.first, self.second = nn.Parameter(torch.zeros(4, 10, 12)), nn.Parameter(torch.zeros(4, 12, 3))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(torch.einsum("bi,eih->beh", x, 3 * self.first))
        experts = torch.einsum("beh,eho->beo", hidden, 3 * self.second)
        return (torch.softmax(self.gate(x), -1)[..., None] * experts).sum(1)


class Capsules(nn.Module):
    """Three rounds of dynamic routing with the squashing function."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 5, 4, 6))

    def forward(self, x: Tensor) -> Tensor:
        votes = torch.einsum("jidk,bik->bijd", 4 * self.weight, x)
        logits = torch.zeros_like(votes[..., 0])
        for _ in range(3):
            s = (logits.softmax(2)[..., None] * votes).sum(1)
            norm = s.norm(dim=-1, keepdim=True)
            v = norm**2 / (1 + norm**2) * s / (norm + 1e-8)
            logits = logits + (votes * v[:, None]).sum(-1)
        return torch.linalg.vector_norm(v, dim=-1)


class NeuralOde(nn.Module):
    """Eight Euler steps and one step of the classical Runge-Kutta scheme."""

    def __init__(self):
        super().__init__()
        self.field = nn.Sequential(nn.Linear(9, 16), nn.Tanh(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def rate(self, t: float, y: Tensor) -> Tensor:
        return self.field(torch.cat([y, torch.full_like(y[:, :1], t)], 1))

    def forward(self, y: Tensor) -> Tensor:
        for step in range(8):
            y = y + 0.1 * self.rate(0.1 * step, y)
        k1 = self.rate(0.8, y)
        k2 = self.rate(0.9, y + 0.1 * k1)
        k3 = self.rate(0.9, y + 0.1 * k2)
        return self.head(y + (k1 + 2 * k2 + 2 * k3 + self.rate(1.0, y + 0.2 * k3)) / 30)


class Kan(nn.Module):
    """Kolmogorov-Arnold layers: cubic B-splines by the recursion of Cox and de Boor, plus SiLU."""

    def __init__(self):
        super().__init__()
        self.splines = nn.ParameterList([torch.zeros(8, 6, 7), torch.zeros(3, 8, 7)])
        self.base = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 3)])
        self.register_buffer("knots", torch.arange(-3.0, 8.0) * 1.0 - 2.0)

    def basis(self, x: Tensor) -> Tensor:
        x, knots = x[..., None], self.knots
        bases = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
        for k in range(1, 4):
            left = (x - knots[: -(k + 1)]) / (knots[k:-1] - knots[: -(k + 1)]) * bases[..., :-1]
            right = (knots[k + 1 :] - x) / (knots[k + 1 :] - knots[1:-k]) * bases[..., 1:]
            bases = left + right
        return bases

    def forward(self, x: Tensor) -> Tensor:
        for spline, base in zip(self.splines, self.base, strict=True):
            x = base(F.silu(x)) + 3 * torch.einsum("big,oig->bo", self.basis(x), spline)
        return x


class RadialBasis(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres, self.head = nn.Parameter(torch.zeros(7, 6)), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        gaussians = torch.exp(-torch.cdist(x, self.centres).square() / 6)
        return self.head(gaussians) + torch.cdist(x[:, None], self.centres, p=1.0).amin(-1)


class DeepSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 12), nn.ELU(), nn.Linear(12, 8))
        self.outer = nn.Sequential(nn.Linear(40, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        pooled = [x.mean(1), x.max(1).values, x.logsumexp(1), x.std(1), x.amin(1)]
        return self.outer(torch.cat(pooled, 1))


class Cosine(nn.Module):
    """A metric-learning head: normalised features against normalised prototypes, and a pair score."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8))
        self.prototypes = nn.Parameter(torch.zeros(3, 8))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.body(x), self.body(y)
        scores = 5 * F.normalize(a) @ F.normalize(self.prototypes).T
        return scores + F.cosine_similarity(a, b)[:, None] + F.pairwise_distance(a, b, keepdim=True)


class Cumulative(nn.Module):
    """Survival probabilities: a cumulative product of complements, then a cumulative sum."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        hazard = torch.sigmoid(self.body(x))
        survival = torch.cumprod(1 - hazard, dim=1)
        return torch.logcumsumexp(self.body(x), 1) + torch.cumsum(hazard * survival, 1) + hazard.prod(1, True)


class Sorted(nn.Module):
    """Order statistics: sort, top-k mean, median and running maximum pooling."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 8), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.inner(x))
        weights = torch.linspace(-1, 1, x.shape[1], dtype=x.dtype)[:, None]
        ordered = (x.sort(1).values * weights).sum(1)
        pooled = [ordered, x.topk(2, dim=1).values.mean(1), x.median(1).values + x.cummax(1).values.mean(1)]
        return self.outer(torch.cat(pooled, 1))


class SpatialTransformer(nn.Module):
    """An affine grid predicted from the image; the image sampled at fixed places times the prediction."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 6), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        theta = 0.5 * torch.tanh(self.body(x.flatten(1))).view(-1, 2, 3)
        sampled = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)
        return self.head(sampled.flatten(1))


class StateSpace(nn.Module):
    """A diagonal selective scan, the step size a function of the input."""

    def __init__(self):
        super().__init__()
        self.into, self.step, self.b, self.c = (
            nn.Linear(4, 8),
            nn.Linear(4, 8),
            nn.Linear(4, 3),
            nn.Linear(4, 3),
        )
        self.log_a = nn.Parameter(torch.zeros(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        u, step = F.silu(self.into(x)), F.softplus(self.step(x))
        decay = torch.exp(-step[..., None] * self.log_a.exp())
        drive = (step * u)[..., None] * self.b(x)[:, :, None]
        state, outputs = torch.zeros_like(drive[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + drive[:, t]
            outputs.append((state * self.c(x)[:, t, None]).sum(-1))
        return torch.stack(outputs, 1)[:, -1]


def _entries() -> tuple[ZooModel, ...]:
    graph, series = (NODES, WIDTH), (2, 16)
    rows = {
        "graph_index_add": (GraphSum, graph),
        "graph_attention_sum": (lambda: GraphAttention("sum"), graph),
        "graph_attention_amax": (lambda: GraphAttention("amax"), graph),
        "wavenet": (WaveNet, series),
        "factorisation_machine": (FactorisationMachine, (10,)),
        "mixture_of_experts": (Mixture, (10,)),
        "capsules": (Capsules, (5, 6)),
        "neural_ode": (NeuralOde, (8,)),
        "kan_splines": (Kan, (6,)),
        "radial_basis": (RadialBasis, (6,)),
        "deep_set": (DeepSet, (5, 4)),
        "cosine_head": (Cosine, (6,), (6,)),
        "cumulative": (Cumulative, (6,)),
        "sorted_pooling": (Sorted, (5, 4)),
        "spatial_transformer": (SpatialTransformer, (1, 8, 8)),
        "selective_scan": (StateSpace, (6, 4)),
    }
    return tuple(entry(name, FAMILY, make, *shapes, gain=1.6) for name, (make, *shapes) in rows.items())


ENTRIES = _entries()
