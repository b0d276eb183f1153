"""What a page draws: inputs, thumbnails and attributions as JSON values, a table of functions by kind of feature.

Numbers are those of the tensors; what is not finite becomes nothing, which JSON has a word for.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import invalid_value
from pellucid.insights.examples import Range
from pellucid.insights.features import Feature, GeneralFeature, TextFeature, TimeSeriesFeature
from pellucid.report import png_uri
from pellucid.visualization import attribution_limit

THUMBNAIL = 96
"""Pixels along the longer side of a thumbnail."""
WORDS = 120
"""Letters of a text's thumbnail."""

Part = dict[str, Any]


def number(value: float) -> float | None:
    """Return a number, or ``None`` for what JSON cannot say."""
    return value if math.isfinite(value) else None


def numbers(values: Tensor) -> Any:
    """Return a tensor as nested lists of numbers."""
    listed = values.detach().cpu().double()
    return listed.tolist() if bool(listed.isfinite().all()) else _finite(listed.tolist())


def _finite(values: Any) -> Any:
    return [_finite(v) for v in values] if isinstance(values, list) else number(values)


def input_view(feature: Feature, raw: Tensor, known: Range) -> Part:
    """Say how one raw example, without the dimension of the batch, is drawn."""
    return {"kind": feature.kind, "name": feature.name, **_VIEWS[feature.kind](feature, raw, known)}


def thumbnail(feature: Feature, raw: Tensor) -> Part:
    """Say how one raw example is drawn in a list."""
    return {"kind": feature.kind, **_THUMBNAILS[feature.kind](feature, raw)}


def map_view(feature: Feature, values: Tensor) -> Part:
    """Say how the attributions of one example's feature are drawn."""
    return {"kind": feature.kind, **_MAPS[feature.kind](feature, values)}


def picture(feature: Feature, raw: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image as bytes (H, W) or (H, W, 3): fractions and levels as they are, all else stretched."""
    shown = feature.shown(raw)
    image = torch.as_tensor(shown).detach().cpu().double()
    image = image[None] if image.dim() == 2 else image
    if image.dim() != 3 or image.shape[0] not in {1, 3}:
        why = f"{feature.name} is an image of 1 or 3 channels"
        advice = "visualization_transform= that makes (C, H, W) of an example"
        raise invalid_value("inputs", f"of shape {tuple(image.shape)} per example", why, advice)
    low, high = float(image.min()), float(image.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    shares = ((image - low) / ((high - low) or 1.0)).nan_to_num(0.0).clamp(0, 1)
    levels: np.ndarray[Any, np.dtype[np.uint8]] = (255 * shares).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return levels[..., 0] if levels.shape[2] == 1 else levels


def picture_uri(levels: np.ndarray[Any, np.dtype[np.uint8]], side: int | None = None) -> str:
    """Return an image as the data URI of a PNG, no larger than a number of pixels along its longer side."""
    from PIL import Image  # noqa: PLC0415  (only where pictures are made)

    image = Image.fromarray(np.ascontiguousarray(levels))
    if side is not None:
        image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return png_uri(stream.getvalue())


def channels(feature: Feature, values: Tensor) -> Tensor:
    """Return a series as (C, T)."""
    if values.dim() == 1:
        return values[None]
    if values.dim() != 2:
        why = f"{feature.name} is a series"
        raise invalid_value("inputs", f"of shape {tuple(values.shape)} per example", why, "(C, T), (T, C) or (T,)")
    return values.T if isinstance(feature, TimeSeriesFeature) and feature.channel_axis == 1 else values


def _image_view(feature: Feature, raw: Tensor, known: Range) -> Part:
    shape = [1] * (3 - raw.dim()) + list(raw.shape)
    drawable = feature.visualization_transform is None and raw.is_floating_point() and len(shape) == 3
    low, high = float(known.low.min()), float(known.high.max())
    return {
        "uri": picture_uri(picture(feature, raw)), "shape": shape, "low": low, "high": high,
        "editable": drawable and high > low,
    }  # fmt: skip


def _text_view(feature: Feature, raw: Tensor, known: Range) -> Part:
    del known
    text = feature if isinstance(feature, TextFeature) else TextFeature(feature.name)
    editable = text.tokenizer is not None and raw.dim() == 1 and not raw.is_floating_point()
    return {"tokens": feature.shown(raw), "special": text.special(raw), "editable": editable}


def _table_view(feature: Feature, raw: Tensor, known: Range) -> Part:
    values = torch.as_tensor(feature.shown(raw)).flatten()
    given = feature.categories if isinstance(feature, GeneralFeature) else ()
    names = [given[i] if i < len(given) else f"feature {i}" for i in range(len(values))]
    fits = known.low.shape == values.shape and feature.visualization_transform is None
    low, high, whole = (known.low, known.high, known.whole) if fits else (values, values, values == values.round())
    return {
        "names": names, "values": numbers(values), "low": numbers(low), "high": numbers(high),
        "whole": whole.tolist(), "editable": fits,
    }  # fmt: skip


def _series_view(feature: Feature, raw: Tensor, known: Range) -> Part:
    shown = channels(feature, torch.as_tensor(feature.shown(raw)))
    given = feature.channels if isinstance(feature, TimeSeriesFeature) else ()
    names = [given[i] if i < len(given) else f"channel {i}" for i in range(len(shown))]
    axis = feature.channel_axis if isinstance(feature, TimeSeriesFeature) and raw.dim() == 2 else 0
    return {
        "channels": names, "values": numbers(shown), "shape": list(raw.shape), "channel_axis": axis,
        "low": float(known.low.min()), "high": float(known.high.max()),
        "editable": feature.visualization_transform is None and raw.is_floating_point(),
    }  # fmt: skip


_VIEWS: dict[str, Callable[[Feature, Tensor, Range], Part]] = {
    "image": _image_view,
    "text": _text_view,
    "table": _table_view,
    "series": _series_view,
    "empty": lambda *_: {},
}


def _text_thumbnail(feature: Feature, raw: Tensor) -> Part:
    text = feature if isinstance(feature, TextFeature) else TextFeature(feature.name)
    special = set(text.special(raw))
    words = " ".join(token for place, token in enumerate(feature.shown(raw)) if place not in special)
    return {"text": words.replace(" ##", "")[:WORDS]}


def _table_thumbnail(feature: Feature, raw: Tensor) -> Part:
    shown = torch.as_tensor(feature.shown(raw)).flatten()[:4].tolist()
    given = feature.categories if isinstance(feature, GeneralFeature) else ()
    named = [f"{given[i]} {value:.4g}" if i < len(given) else f"{value:.4g}" for i, value in enumerate(shown)]
    return {"text": ", ".join(named)[:WORDS]}


_THUMBNAILS: dict[str, Callable[[Feature, Tensor], Part]] = {
    "image": lambda feature, raw: {"uri": picture_uri(picture(feature, raw), THUMBNAIL)},
    "text": _text_thumbnail,
    "table": _table_thumbnail,
    "series": lambda feature, raw: {"values": _thinned(channels(feature, torch.as_tensor(feature.shown(raw)))[0])},
    "empty": lambda *_: {},
}


def _thinned(values: Tensor, points: int = 64) -> Any:
    """Return about so many of a series' values, evenly apart."""
    return numbers(values[:: max(1, len(values) // points)])


def _limit(values: Tensor) -> float:
    finite = values.detach().double().nan_to_num(0.0)
    return float(finite.abs().max()) if finite.numel() else 0.0


def _image_map(feature: Feature, values: Tensor) -> Part:
    flat = values.detach().cpu().double()
    flat = flat.flatten(0, -3).sum(0) if flat.dim() > 2 else flat
    if flat.dim() != 2:
        why = f"{feature.name} is an image"
        raise invalid_value("inputs", f"of shape {tuple(values.shape)} per example", why, "(C, H, W) or (H, W)")
    limit = attribution_limit(flat.nan_to_num(0.0).numpy()) if bool(flat.any()) else 0.0
    return {"height": flat.shape[0], "width": flat.shape[1], "values": numbers(flat.flatten()), "limit": limit}


def _text_map(feature: Feature, values: Tensor) -> Part:
    del feature
    sums = values.detach().double()
    sums = sums.flatten(1).sum(1) if sums.dim() > 1 else sums
    return {"values": numbers(sums), "limit": _limit(sums)}


_MAPS: dict[str, Callable[[Feature, Tensor], Part]] = {
    "image": _image_map,
    "text": _text_map,
    "table": lambda _, values: {"values": numbers(values.flatten()), "limit": _limit(values)},
    "series": lambda feature, values: {"values": numbers(channels(feature, values)), "limit": _limit(values)},
    "empty": lambda *_: {},
}
