"""Types of arguments and results, each with its shape and meaning.

Dimension 0 of every tensor counts examples; ``N`` is their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

Tensors: TypeAlias = Tensor | tuple[Tensor, ...]
"""One tensor of shape (N, ...), or a tuple of such tensors with the same N."""

ForwardFunction: TypeAlias = Callable[..., Any]
"""What is explained: a module, or any callable ``forward(*inputs, *additional_forward_args)``."""

TargetLike: TypeAlias = int | tuple[int | slice, ...] | Tensor | list[int] | list[tuple[int, ...]] | None
"""Which output of each example is explained.

``None`` where there is one value per example; an int or a tuple of ints and slices for all examples;
a tensor (N,), a list of N ints or a list of N tuples for one target per example.
"""

NeuronSelector: TypeAlias = int | tuple[int | slice, ...] | Callable[..., Any]
"""Which neuron of a layer: its index, or a function from the layer's value to one number per example."""

LayerLike: TypeAlias = Any
"""A module, or a list of modules where a method explains several layers in one pass."""

LayerTensors: TypeAlias = Any
"""Results at a layer, as it gives them: a tensor, or a tuple or dictionary of the tensors of one call; a list of
these for each call, or for each of several layers."""

BaselineLike: TypeAlias = int | float | Tensor | tuple[int | float | Tensor, ...] | None
"""Where the path starts: ``None`` (zeros), a number, a tensor with 1 or N rows, or a tuple of those."""

DistributionLike: TypeAlias = int | float | Tensor | tuple[int | float | Tensor, ...] | Callable[..., Any]
"""Baselines to draw from: a tensor of any number of rows, a tuple of such, or a callable that returns one."""

MaskLike: TypeAlias = Tensor | tuple[Tensor, ...] | None
"""Which values are one feature: a tensor of integer ids that broadcasts to the input, its last dimensions aligned, with
1 or N rows; a tuple of those; ``None`` where every value is a feature of its own."""
