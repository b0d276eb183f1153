"""Where a value came from: questions about the autograd graph that rules of relevance propagation ask.

Operations that are linear stay native, so the graph between two ruled calls is a graph of native nodes.
Each ruled call of this method is a node whose pullback is a `Pull`, which says what nature it has; what a
user's own function or rule computes is taken for a signal. Three
questions are answered by walking up to the nearest ruled calls:

* is a value a *gate*, such as an attention weight or the sigmoid in an LSTM;
* does it depend on the inputs through linear operations alone, so that its layer is a first layer;
* of which values is it a mere *selection* (views, slices, padding, casts, maxima), element by element?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from pellucid._core.rules.carry import Gradients
from pellucid._core.rules.vocabulary import _words


class Nature(Enum):
    """What a ruled call means to the calls after it."""

    SIGNAL = "carries relevance"
    GATE = "weighs other values, and takes no relevance from a product with one that carries it"
    PRODUCT = "a gate if all its factors are"
    NATIVE = "as transparent as a native operation"


@dataclass(eq=False, slots=True)  # not frozen, which would triple the time to make one
class Pull:
    """A pullback with what others need to know about its call; never changed.

    Args:
        function: The pullback.
        label: Name of the rule.
        operation: Name of the operation.
        nature: What the call means to the calls after it.
        inbox: Takes relevance that no gradient can carry; None where the rule has no use for it.
        repeatable: Whether it may be called again, as the walks for such relevance do.
    """

    function: Callable[[Gradients], Sequence[Tensor | None]]
    label: str
    operation: str
    nature: Nature = Nature.SIGNAL
    inbox: Callable[[Tensor], None] | None = None
    repeatable: bool = True

    def __call__(self, gradients: Gradients) -> Sequence[Tensor | None]:
        """Pull gradients of the results back to the operands."""
        return self.function(gradients)


_SELECTING_NODES = _words(
    """
    CloneBackward0 ViewBackward0 UnsafeViewBackward0 ReshapeAliasBackward0 AliasBackward0 PermuteBackward0
    TransposeBackward0 TBackward0 UnsqueezeBackward0 SqueezeBackward0 SqueezeBackward1 SqueezeBackward2
    SliceBackward0 SelectBackward0 NarrowBackward0 SplitBackward0 SplitWithSizesBackward0 UnbindBackward0
    ExpandBackward0 CatBackward0 StackBackward0 ConstantPadNdBackward0 IndexBackward0 IndexSelectBackward0
    ToCopyBackward0 RepeatBackward0 FlipBackward0 RollBackward0 UnfoldBackward0 CopyBackwards
    MaxPool2DWithIndicesBackward0    MaxPool3DWithIndicesBackward0 MaxPool1DBackward0
    """
)
_SELECTING_OPERATIONS = _words("pad constant_pad_nd cat concat concatenate stack max_pool1d max_pool2d max_pool3d")


def pull_of(node: Any) -> Pull | None:
    pull = getattr(node, "pullback", None)
    return pull if isinstance(pull, Pull) else None


def _parents(node: Any) -> list[Any]:
    edges = node.next_functions
    if node.name().endswith("CopyBackwards"):  # the first edge leads to the values that were overwritten
        edges = edges[1:]
    return [parent for parent, _ in edges if parent is not None]


def _reached(tensor: Tensor, passes: Callable[[Any], bool]) -> Iterator[Any]:
    """Yield the nearest nodes above a tensor that are not passed through; leaves are among them."""
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node in seen or node is None:
            continue
        seen.add(node)
        if hasattr(node, "variable") or not passes(node):
            yield node
        else:
            waiting += _parents(node)


def _passes(*natures: Nature) -> Callable[[Any], bool]:
    def passes(node: Any) -> bool:
        pull = pull_of(node)
        return pull.nature in natures if pull is not None else not hasattr(type(node), "_forward_cls")

    return passes


_FOR_GATES = _passes(Nature.NATIVE, Nature.PRODUCT)
_FOR_INPUTS = _passes(Nature.NATIVE)


def is_gate(tensor: Tensor) -> bool:
    """Tell whether a value is a gate: computed from gates alone, by linear operations and products."""
    for node in _reached(tensor, _FOR_GATES):
        pull = pull_of(node)
        if pull is None or pull.nature is not Nature.GATE:
            return False
    return True


def reads_inputs(tensor: Tensor) -> bool:
    """Tell whether a value depends on the inputs through linear operations alone."""
    return all(hasattr(node, "variable") for node in _reached(tensor, _FOR_INPUTS))


def _selects(node: Any) -> bool:
    pull = pull_of(node)
    if pull is not None:
        return pull.label in {"linear", "gradient"} and pull.operation in _SELECTING_OPERATIONS
    return node.name().rpartition("::")[2] in _SELECTING_NODES


def selected_from(tensor: Tensor) -> list[Any]:
    """Return the nodes of the values that a value selects: leaves, and calls that do more than select."""
    return list(_reached(tensor, _selects))


def spoken(node: Any) -> str:
    """Name a node in a message."""
    pull = pull_of(node)
    return str(node.name()) if pull is None else f"'{pull.operation}'"
