"""What a zoo entry is, and how its weights, inputs and baselines are drawn.

An entry is lazy: nothing is built before :meth:`ZooModel.case` is called. Weights are drawn once in
float32 and then cast, so that the float32 and the float64 model are the same function. They are
drawn larger than common initialisations on purpose: a network with weights of standard deviation
0.02 is nearly linear, and a wrong rule would pass on it.
"""

import functools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .seeds import SEEDS

Tensors = tuple[Tensor, ...]


class Case(NamedTuple):
    """One model, ready to be explained in one floating type."""

    forward: Callable[..., Any]
    inputs: Tensors
    baselines: Tensors
    select: Callable[[Any], Tensor]

    def scalar(self, *inputs: Tensor) -> Tensor:
        """The explained quantity, one number per example."""
        return self.select(self.forward(*inputs))


@dataclass(frozen=True)
class ZooModel:
    """One unmodified model, how it is called, and which number of its output is explained.

    ``float32_islands`` says that the model computes in float32 somewhere, whatever its own type;
    ``switches`` that its output jumps with the input (routing, bucketing), so that no continuous
    rule can be complete across the jump; ``coupled`` that the result of an example depends on its
    place in the batch; ``opaque`` that it holds an ``autograd.Function`` of its own, which a rule
    engine has to refuse by name unless the user gives a rule for it.
    """

    name: str
    family: str
    build: Callable[[torch.dtype], Callable[..., Any]]
    inputs: Callable[[torch.dtype], Tensors]
    baselines: Callable[[torch.dtype], Tensors]
    select: Callable[[Any], Tensor]
    float32_islands: bool = False
    switches: bool = False
    coupled: bool = False
    opaque: bool = False
    notes: str = ""

    def case(self, dtype: torch.dtype = torch.float64) -> Case:
        """Build the model and draw its inputs in ``dtype``."""
        return Case(self.build(dtype), self.inputs(dtype), self.baselines(dtype), self.select)


class Calling(nn.Module):
    """A model behind a small callable, its submodules still visible to those who hook modules."""

    def __init__(self, model: nn.Module, call: Callable[..., Any]):
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        return self.call(self.model, *inputs)


def weighted(output: Tensor) -> Tensor:
    """A fixed combination of all outputs of an example, so that every output path counts."""
    flat = output.flatten(1)
    weights = torch.cos(1.7 * torch.arange(flat.shape[1], dtype=flat.dtype) + 0.5)
    return flat @ weights / math.sqrt(flat.shape[1])


def logit(index: int) -> Callable[[Tensor], Tensor]:
    """One column of the output, as users mostly explain it."""
    return lambda output: output[:, index]


def log_probability(index: int) -> Callable[[Tensor], Tensor]:
    """The log-softmax of one column."""
    return lambda output: output.log_softmax(-1)[:, index]


def field(name: str) -> Callable[[Any], Tensor]:
    """A named field of a structured output, all of its numbers combined."""
    return lambda output: weighted(getattr(output, name))


def excite(module: nn.Module, seed: int, gain: float = 1.0) -> nn.Module:
    """Redraw all parameters so that each layer keeps its input's scale, times ``gain``."""
    generator = torch.Generator().manual_seed(seed)

    def draw(like: Tensor, std: float) -> Tensor:
        return std * torch.randn(like.shape, generator=generator)

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim < 2:
                parameter.add_(draw(parameter, 0.2))
            elif "embed" in name and "proj" not in name:
                parameter.copy_(draw(parameter, 0.5))
            else:
                parameter.copy_(draw(parameter, gain / math.sqrt(parameter[0].numel())))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(draw(buffer, 0.3))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + draw(buffer, 1.0).square())
    return module


def entry(
    name: str,
    family: str,
    make: Callable[[], nn.Module],
    *shapes: tuple[int, ...],
    call: Callable[..., Any] | None = None,
    function: Callable[..., Any] | None = None,
    select: Callable[[Any], Tensor] = weighted,
    gain: float | None = 1.0,
    examples: int = 3,
    scale: float = 1.0,
    **flags: Any,
) -> ZooModel:
    """Describe an entry: ``make`` gives the module, ``shapes`` those of one example's inputs.

    ``call(module, *inputs)`` replaces the plain call; ``function(module, *inputs)`` does so too, but
    the result is a plain Python callable and no module. ``gain=None`` leaves the weights alone.
    """
    root = zlib.crc32(name.encode()) % 2**20 + SEEDS.get(name, 0)

    def build(dtype: torch.dtype) -> Callable[..., Any]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(root)
            module = make().eval()
        if gain is not None:
            excite(module, root, gain)
        module.to(dtype)
        if function is not None:
            return functools.partial(function, module)
        return module if call is None else Calling(module, call)

    def draw(dtype: torch.dtype, salt: int, std: float, mean: float) -> Tensors:
        generator = torch.Generator().manual_seed(root + salt)
        return tuple((mean + std * torch.randn(examples, *shape, generator=generator)).to(dtype) for shape in shapes)

    return ZooModel(
        name=name,
        family=family,
        build=build,
        inputs=lambda dtype: draw(dtype, 7, scale, 0.0),
        baselines=lambda dtype: draw(dtype, 8, 0.5 * scale, 0.15 * scale),
        select=select,
        **flags,
    )
