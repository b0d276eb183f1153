"""Models whose layers are explained: several inputs, structures, calls and kinds of layers, all float64 and seeded."""

from collections import namedtuple
from dataclasses import dataclass

import torch
from torch import nn

DOUBLE = torch.float64
Pair = namedtuple("Pair", "low high")


def seeded(seed, build):
    """Build a model from its own seed, in float64 and evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().to(DOUBLE).eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Three dense layers with separate activations."""

    def __init__(self, activation=nn.Tanh):
        super().__init__()
        self.one, self.act1 = nn.Linear(5, 6), activation()
        self.two, self.act2 = nn.Linear(6, 4), activation()
        self.three = nn.Linear(4, 3)

    def forward(self, x):
        return self.three(self.act2(self.two(self.act1(self.one(x)))))


class ConvNet(nn.Module):
    """An image classifier; no pooling directly behind a rectifier."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(2, 4, 3, padding=1), activation()
        self.pool = nn.AvgPool2d(2)
        self.conv2, self.act2 = nn.Conv2d(4, 5, 3, padding=1), activation()
        self.flat = nn.Flatten()
        self.head = nn.Linear(5 * 3 * 3, 3)

    def forward(self, x):
        return self.head(self.flat(self.act2(self.conv2(self.pool(self.act1(self.conv1(x)))))))


class Mixed(nn.Module):
    """Two inputs and two additional arguments, one of which follows the examples."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 5), nn.Linear(3, 5)
        self.join = nn.Linear(5, 5)
        self.out = nn.Linear(5, 3)

    def forward(self, a, b, scale, power=1):
        hidden = torch.tanh(self.left(a)) * torch.sigmoid(self.right(b))
        return self.out(torch.tanh(self.join(hidden)) * scale[:, None]) ** power


class Splits(nn.Module):
    """A layer that gives a tuple."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 6)

    def forward(self, x):
        h = torch.tanh(self.inner(x))
        return h[:, :2], h[:, 2:]


class TupleNet(nn.Module):
    """A layer in the middle gives two tensors."""

    def __init__(self):
        super().__init__()
        self.first, self.split = nn.Linear(5, 5), Splits()
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        a, b = self.split(torch.sin(self.first(x)))
        return self.out(b * a.sum(1, keepdim=True)).exp()


class Adds(nn.Module):
    """A layer that takes keyword arguments only."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 5)

    def forward(self, *, value, shift=None):
        value = value if shift is None else value + shift
        return torch.tanh(self.inner(value))


class KeywordNet(nn.Module):
    """Calls a layer with keyword arguments."""

    def __init__(self):
        super().__init__()
        self.first, self.adds, self.out = nn.Linear(5, 5), Adds(), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(self.adds(value=torch.sin(self.first(x)), shift=x**2)) ** 2


class Tokens(nn.Module):
    """A small transformer encoder with a class token's worth of pooling."""

    def __init__(self, layers=2, batch_first=True):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        block = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=batch_first, activation="gelu")
        self.encoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)
        self.batch_first = batch_first

    def forward(self, x):
        x = x if self.batch_first else x.transpose(0, 1)
        hidden = self.norm(self.encoder(torch.tanh(self.embed(x))))
        return self.head(hidden.mean(1 if self.batch_first else 0))


class Residual(nn.Module):
    """A skip connection around every inner layer; blocks are cut by their output."""

    def __init__(self, activation=nn.Tanh):
        super().__init__()
        self.stem = nn.Linear(5, 6)
        self.inner, self.act = nn.Linear(6, 6), activation()
        self.join = nn.Identity()
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        x = torch.sin(self.stem(x))
        return self.out(self.join(x + self.act(self.inner(x)))) ** 2


class Siamese(nn.Module):
    """One encoder, called for each of two inputs."""

    def __init__(self):
        super().__init__()
        self.encoder, self.out = nn.Sequential(nn.Linear(4, 5), nn.Tanh()), nn.Linear(5, 2)

    def forward(self, a, b):
        return self.out(self.encoder(a) * self.encoder(b).exp())


class Chain(nn.Module):
    """The same layer three times in a row."""

    def __init__(self):
        super().__init__()
        self.step, self.out = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2)

    def forward(self, x):
        for _ in range(3):
            x = self.step(x) + 0.1 * x**2
        return self.out(x)


class Uneven(nn.Module):
    """The same activation on values of different shapes."""

    def __init__(self):
        super().__init__()
        self.one, self.act, self.two = nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)

    def forward(self, x):
        return self.act(self.two(self.act(self.one(x))))


@dataclass
class Held:
    """A layer's value with a name for each tensor, an absent one and something that is no tensor."""

    value: torch.Tensor
    gate: torch.Tensor
    nothing: object = None
    label: str = "held"


STRUCTURES = {
    "tuple": (lambda a, b: (a, b), lambda v: v),
    "list": (lambda a, b: [a, b], tuple),
    "dict": (lambda a, b: {"low": a, "high": b}, lambda v: (v["low"], v["high"])),
    "named tuple": (Pair, lambda v: (v.low, v.high)),
    "dataclass": (Held, lambda v: (v.value, v.gate)),
    "with None": (lambda a, b: (None, a, None, b), lambda v: (v[1], v[3])),
    "with integers": (lambda a, b: (a, torch.arange(3), b), lambda v: (v[0], v[2])),
    "nested": (lambda a, b: (a, [{"b": b}]), lambda v: (v[0], v[1][0]["b"])),
}
"""By name, how two tensors become a layer's value and how the rest of the model takes them out."""


class Packs(nn.Module):
    """Gives its two tensors in some structure."""

    def __init__(self, pack):
        super().__init__()
        self.inner, self.pack = nn.Linear(5, 6), pack

    def forward(self, x):
        h = torch.tanh(self.inner(x))
        return self.pack(h[:, :2], h[:, 2:])


class Structured(nn.Module):
    """The rest of a model behind a layer with some structure."""

    def __init__(self, name):
        super().__init__()
        pack, self.unpack = STRUCTURES[name]
        self.packs, self.out = Packs(pack), nn.Linear(4, 3)

    def forward(self, x):
        a, b = self.unpack(self.packs(torch.sin(x)))
        return self.out(b * a.prod(1, keepdim=True)).exp()

    def rest(self, a, b):
        return self.out(b * a.prod(1, keepdim=True)).exp()
