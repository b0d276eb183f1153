"""Which dimension of a layer's value holds the channels: before the places (images) or behind them (tokens)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pellucid._core.checks import accept_choice
from pellucid.errors import PellucidError, invalid_value

_FIRST = (
    nn.modules.conv._ConvNd,  # noqa: SLF001  (the only common base of torch's convolutions)
    nn.modules.batchnorm._NormBase,  # noqa: SLF001  (likewise of batch and instance norms)
    nn.modules.pooling._MaxPoolNd,  # noqa: SLF001
    nn.modules.pooling._AvgPoolNd,  # noqa: SLF001
    nn.modules.pooling._AdaptiveAvgPoolNd,  # noqa: SLF001
    nn.modules.pooling._AdaptiveMaxPoolNd,  # noqa: SLF001
    nn.GroupNorm,
    nn.Upsample,
)
_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.MultiheadAttention,
    nn.RNNBase,
)
LAYOUTS = ("channels_first", "channels_last")


def accept_channels(layout: Any) -> None:
    """Check the name of a layout, or ``None``."""
    if layout is not None:
        accept_choice("layout", layout, LAYOUTS, "there is no such layout, and None finds it out")


def channels_first(value: Tensor, layout: str | None, layer: nn.Module) -> Tensor:
    """Give a layer's value with its channels in dimension 1.

    Args:
        value: shape (N, C, *places) or (N, *places, C).
        layout: which of both, ``None`` to find out.
        layer: the layer.

    Returns:
        A view of shape (N, C, *places).

    Raises:
        InvalidValueError: if the layout is not given and cannot be told from the layer.
    """
    if value.dim() < 2:
        raise invalid_value(
            "layer", f"one whose value has shape {tuple(value.shape)}", "it has no channels", "a layer with channels"
        )
    if value.dim() == 2:
        return value
    layout = layout or _layout_of(layer, value)
    return value.movedim(-1, 1) if layout == "channels_last" else value


def _layout_of(layer: nn.Module, value: Tensor) -> str:
    """Tell the layout by the layer itself, or by what is inside it if that is of one kind."""
    inside = [layer] if isinstance(layer, _FIRST + _LAST) else list(layer.modules())
    first = any(isinstance(m, _FIRST) for m in inside)
    last = any(isinstance(m, _LAST) or type(m).__name__ in {"Conv1D", "T5LayerNorm"} for m in inside)
    if value.dim() > 3 and not last:
        return "channels_first"
    if first == last:
        raise _ambiguous(layer, value)
    return "channels_first" if first else "channels_last"


def _ambiguous(layer: nn.Module, value: Tensor) -> PellucidError:
    return invalid_value(
        "layout",
        "None",
        f"a {type(layer).__name__} with values of shape {tuple(value.shape)} may hold its channels in dimension 1 or in"
        f" dimension {value.dim() - 1}",
        "layout='channels_first' (images, N C H W) or layout='channels_last' (tokens, N T C)",
    )
