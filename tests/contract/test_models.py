"""However a model is packed or run, its explanation is that of the model, or refused by name; never another one."""

import copy
import functools
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from pellucid.errors import ExpansionWarning, PellucidError
from tests.contract.rows import EVERY
from tests.models import DOUBLE


class Net(nn.Module):
    """A curved network with a normalisation and a connection around it."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second, self.last = (
            nn.Linear(5, 8),
            nn.LayerNorm(8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        h = nn.functional.softplus(self.first(x))
        return self.last(h + nn.functional.softplus(self.second(self.norm(h))))


@functools.cache
def net():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Net().to(DOUBLE).eval()


@functools.cache
def points():
    return torch.randn(3, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))


def normed():
    model = copy.deepcopy(net())
    parametrizations.weight_norm(model.second)
    return model


class Room(nn.Module):
    """Has room for sixteen rows, as programs for inference have."""

    def __init__(self, silently):
        super().__init__()
        self.net, self.silently = net(), silently

    def forward(self, x):
        assert self.silently or len(x) <= 16, "the batch is too large"
        return torch.cat([self.net(x[:16]), torch.zeros(max(0, len(x) - 16), 3, dtype=x.dtype)])


class Counting(nn.Module):
    """Keeps statistics of what it sees in a buffer, and its last input."""

    def __init__(self):
        super().__init__()
        self.net, self.last = net(), None
        self.register_buffer("seen", torch.zeros(5, dtype=DOUBLE))

    def forward(self, x):
        self.last = x
        with torch.no_grad():
            self.seen += x.sum(0)
        return self.net(x)


def within(context):
    def run(x):
        with context():
            return net()(x)

    return run


def traced():
    return torch.jit.trace(copy.deepcopy(net()), points())


KINDS = {
    "a script": lambda: torch.jit.script(copy.deepcopy(net())),
    "a trace": traced,
    "a frozen script": lambda: torch.jit.freeze(torch.jit.script(copy.deepcopy(net()))),
    "a graph": lambda: torch.fx.symbolic_trace(copy.deepcopy(net())),
    "an exported program": lambda: torch.export.export(copy.deepcopy(net()), (points(),)).module(),
    "normed weights": normed,
    "a checkpoint": lambda: lambda x: checkpoint(net(), x, use_reentrant=False),
    "a reentrant checkpoint": lambda: lambda x: checkpoint(net(), x, use_reentrant=True),
    "a functional call": lambda: lambda x: torch.func.functional_call(net(), dict(net().named_parameters()), (x,)),
    "vmap": lambda: torch.func.vmap(net()),
    "row by row": lambda: lambda x: torch.cat([net()(row[None]) for row in x]),
    "in chunks": lambda: lambda x: torch.cat([net()(part) for part in x.split(2)]),
    "room for few rows": lambda: Room(silently=False),
    "silent about its room": lambda: Room(silently=True),
    "with statistics": Counting,
    "gradients switched on": lambda: within(torch.enable_grad),
    "gradients switched off": lambda: within(torch.no_grad),
    "inference mode": lambda: within(torch.inference_mode),
    "detached": lambda: lambda x: net()(x.detach()),
    "through numpy": lambda: lambda x: torch.from_numpy(net()(x).detach().numpy()),
    "writing into its inputs": lambda: lambda x: net()(x.mul_(1)),
}
TORN = ("gradients switched off", "inference mode", "detached", "through numpy", "a reentrant checkpoint")
"""Kinds that autograd has no gradients of the inputs for."""
_built = functools.cache(lambda kind: KINDS[kind]())


def tensors(found):
    return found if isinstance(found, tuple) else (found,)


@EVERY
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # a reentrant checkpoint
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore::pellucid.errors.CompletenessWarning")
@pytest.mark.filterwarnings("ignore::pellucid.errors.UnusedInputWarning", "ignore::pellucid.errors.CutGradientWarning")
def test_every_kind_of_model_is_explained_as_it_is_or_refused(case):
    expected = tensors(case.run(net(), points(), target=1))
    for kind in KINDS:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ExpansionWarning)
            try:
                found = tensors(case.run(_built(kind), points(), target=1))
            except PellucidError:
                assert case.rules or kind in TORN, f"{kind} was refused"
                continue
        mixing = any(issubclass(s.category, ExpansionWarning) for s in said)
        if mixing and "sizes" in case.exempt:  # other draws, as the row says
            continue
        if kind in TORN and not any(f.any() for f in found):
            assert case.name == "neuron-conductance", f"{kind} gives zeros"  # which come with a warning
            continue
        close = 1e-4 if mixing and case.name.endswith("auto") else 1e-9
        assert all(torch.allclose(f, e, rtol=0, atol=close) for f, e in zip(found, expected, strict=True)), kind
