"""What an explanation shows: of which kind its data are, and the arrays and words that a picture is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pellucid._core.output import accept_target, select
from pellucid.errors import InvalidTypeError, InvalidValueError, invalid_type, invalid_value
from pellucid.visualization.figures import MINUS
from pellucid.visualization.maps import upsampled
from pellucid.visualization.normalize import FloatArray

if TYPE_CHECKING:
    from pellucid.explanation import Explanation

COLOURS = (1, 3)
"""Numbers of channels that an image has."""

FEW = 16
"""So many channels at most, and at least twice as many points, make a series and not an image."""


@dataclass(frozen=True)
class View:
    """One input of an explanation, as pictures take it.

    Attributes:
        kind: ``"table"``, ``"text"``, ``"series"``, ``"image"`` or ``"layer"``.
        values: attributions of all examples: (N, F), (N, T), (N, C, T), (N, H, W, C) or (N, C, H, W).
        inputs: the inputs in the same form, if they are of the same shape.
    """

    kind: str
    values: FloatArray
    inputs: FloatArray | None


def count_of(explanation: Explanation) -> int:
    """Return the number N of examples."""
    return len(parts_of(explanation.attributions)[0])


def taken(explanation: Explanation, examples: Sequence[int]) -> Explanation:
    """Return the explanation of some examples, so that no more is converted than is drawn."""
    count, rows = count_of(explanation), list(examples)

    def pick(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(pick(part) for part in value)
        own = isinstance(value, Tensor) and value.dim() > 0 and len(value) == count
        return value[rows] if own else value

    delta, target, tokens = explanation.delta, explanation.target, explanation.tokens
    return replace(
        explanation,
        attributions=pick(explanation.attributions),
        inputs=pick(explanation.inputs),
        baselines=pick(explanation.baselines),
        target=pick(target) if isinstance(target, Tensor) else target,
        outputs=pick(explanation.outputs),
        delta=pick(delta) if delta is not None and len(delta) == count else None,  # else of the whole batch
        standard_error=None,
        tokens=None if tokens is None else tuple(tokens[row] for row in rows),
    )


def views_of(explanation: Explanation, kind: str | None = None) -> list[View]:
    """Return one view for each input; tables side by side, such as categories and numbers, are one table.

    Args:
        explanation: what is shown.
        kind: taken instead of the most likely kind by inputs whose shape allows it.

    Returns:
        The views, in the order of the inputs.

    Raises:
        InvalidValueError: if there is no picture of the shape of an input.
    """
    values, inputs = parts_of(explanation.attributions), parts_of(explanation.inputs)
    paired = inputs if len(inputs) == len(values) else [None] * len(values)
    views = []
    for attributions, given in zip(values, paired, strict=True):
        possible = possible_views(attributions, given, explanation)
        views.append(next((view for view in possible if view.kind == kind), possible[0]))
    if len(views) > 1 and all(view.kind == "table" for view in views):
        held = [view.inputs for view in views if view.inputs is not None]
        joined = np.concatenate(held, axis=1) if len(held) == len(views) else None
        return [View("table", np.concatenate([view.values for view in views], axis=1), joined)]
    return views


def possible_views(attributions: Tensor, inputs: Tensor | None, explanation: Explanation) -> list[View]:
    """Return what one tensor of attributions may be, the most likely first."""
    values = array_of(attributions)
    same = inputs is not None and inputs.shape == attributions.shape
    ids = inputs if inputs is not None and not inputs.is_floating_point() else None
    if ids is not None and values.ndim == ids.dim() + 1 and values.shape[:-1] == tuple(ids.shape):
        values, same = values.sum(axis=-1), True  # one value per token: its embedding is summed
    held = array_of(inputs) if same and inputs is not None else None
    worded = explanation.tokens is not None
    if values.ndim == 3 and worded:
        return [View("text", values.sum(axis=-1), None), *spread_views(values, held)]
    if values.ndim <= 2:
        return flat_views(values.reshape(len(values), -1), held, worded, ids is not None and explanation.names is None)
    if values.ndim == 3:
        return spread_views(values, held)
    if values.ndim == 4:
        return deep_views(values, held, inputs)
    given = f"of values of shape {values.shape[1:]} per example"
    why = "pictures are drawn of features, tokens, series, images and layers with channels"
    advice = "a part of explanation.attributions to a function of pellucid.visualization"
    raise invalid_value("explanation", given, why, advice)


def flat_views(rows: FloatArray, held: FloatArray | None, worded: bool, counted: bool) -> list[View]:
    """Return what (N, F) may be: a text if there are tokens or unnamed integers, a table, a series of one channel."""
    held = None if held is None else held.reshape(rows.shape)
    table = View("table", rows, held)
    text = [View("text", rows, held)] if worded or counted else []
    return [*text, table, View("series", rows[:, None], None if held is None else held[:, None])]


def spread_views(values: FloatArray, held: FloatArray | None) -> list[View]:
    """Return what (N, A, B) may be: a series (C, T) or (T, C), or an image (H, W), told apart by proportions."""
    rows, columns = values.shape[1:]
    image = View("image", values[..., None], None if held is None else held[..., None])
    if rows > columns:
        values, held = values.transpose(0, 2, 1), None if held is None else held.transpose(0, 2, 1)
    series = View("series", values, held)
    few, many = sorted((rows, columns))
    return [series, image] if few <= FEW and many >= 2 * few else [image, series]


def deep_views(values: FloatArray, held: FloatArray | None, inputs: Tensor | None) -> list[View]:
    """Return what (N, C, H, W) may be: an image of the inputs' shape, one map laid over them, or a layer."""
    layer = View("layer", values, None)
    pictured = inputs is not None and inputs.dim() == 4 and inputs.shape[1] in COLOURS
    if held is not None and values.shape[1] in COLOURS:
        return [View("image", values.transpose(0, 2, 3, 1), held.transpose(0, 2, 3, 1)), layer]
    if values.shape[1] == 1 and pictured and inputs is not None:
        enlarged = upsampled(values[:, 0], tuple(inputs.shape[2:]))
        return [View("image", enlarged[..., None], array_of(inputs).transpose(0, 2, 3, 1)), layer]
    return [layer]


def names_of(explanation: Explanation, view: View) -> list[str]:
    """Return the names of a table's columns, as given or by number."""
    count = view.values.shape[1]
    if explanation.names is None:
        return [f"feature {place}" for place in range(count)]
    if len(explanation.names) != count:
        given = f"of length {len(explanation.names)}"
        raise invalid_value("names", given, f"the table has {count} columns", "one name for each column")
    return list(explanation.names)


def tokens_of(explanation: Explanation, view: View, example: int) -> list[str]:
    """Return an example's tokens; padding after those that were given is named so, and ids stand for themselves."""
    count = view.values.shape[1]
    if explanation.tokens is None:
        return [f"{value:.0f}" for value in view.inputs[example]] if view.inputs is not None else ["?"] * count
    given = explanation.tokens[example]
    if len(given) > count:
        why = f"there are {count} attributions"
        raise invalid_value(f"tokens[{example}]", f"of length {len(given)}", why, "one token for each, or fewer")
    return list(given)


def picture_of(view: View, example: int) -> FloatArray | None:
    """Return an image as it is drawn, from 0 to 1: normalised ones are stretched to their own range."""
    if view.inputs is None:
        return None
    image = view.inputs[example]
    if image.shape[-1] not in COLOURS:
        return None
    low, high = float(image.min()), float(image.max())
    stretched: FloatArray = image if low >= 0 and high <= 1 else (image - low) / ((high - low) or 1.0)
    return stretched


def layer_picture(explanation: Explanation, example: int) -> FloatArray | None:
    """Return the image that a layer's maps are laid over, if the only input is one."""
    inputs = parts_of(explanation.inputs)
    if len(inputs) != 1 or inputs[0].dim() != 4 or inputs[0].shape[1] not in COLOURS:
        return None
    shown = array_of(inputs[0]).transpose(0, 2, 3, 1)
    return picture_of(View("image", shown, shown), example)


def outputs_of(explanation: Explanation) -> FloatArray | None:
    """Return the explained output of each example, shape (N,), if the recorded outputs tell it."""
    outputs = explanation.outputs.detach()
    try:
        chosen = select(outputs, accept_target(explanation.target, len(outputs)))
    except (InvalidValueError, InvalidTypeError):  # a neuron, or a target inside something else
        return None
    return array_of(chosen.reshape(-1)) if chosen.numel() == len(outputs) else None


def totals_of(explanation: Explanation) -> FloatArray:
    """Return the sum of each example's attributions, over all inputs."""
    parts = [array_of(part) for part in parts_of(explanation.attributions)]
    sums: FloatArray = np.stack([part.reshape(len(part), -1).sum(axis=1) for part in parts]).sum(axis=0)
    return sums


def title_of(explanation: Explanation, example: int | None) -> str:
    """Say in two lines what is shown: the method and the target; the baseline and the check."""
    method = explanation.method.replace("_", " ")
    target = None if example is None else target_of(explanation, example)
    first = method if target is None else f"{method}, target {target}"
    facts = []
    baseline = baseline_of(explanation)
    if baseline:
        facts.append(f"baseline {baseline}")
    if explanation.delta is not None and example is not None:
        facts.append(f"delta {number(float(explanation.delta[example]))}")
    return first + ("\n" + " \N{MIDDLE DOT} ".join(facts) if facts else "")


def target_of(explanation: Explanation, example: int) -> str | None:
    """Return the explained output of an example in words, or None if there is only one."""
    target = explanation.target
    if isinstance(target, Tensor):
        row = target if target.dim() == 0 else target[example if len(target) > 1 else 0]
        target = tuple(row.tolist()) if row.dim() else int(row)
    return None if target is None else str(target)


def baseline_of(explanation: Explanation) -> str:
    """Return the baseline in words: a number if it is the same everywhere, else how many there are."""
    if explanation.baselines is None:
        return ""
    parts = parts_of(explanation.baselines)
    if all(part.numel() and bool((part == parts[0].flatten()[0]).all()) for part in parts):
        return number(float(parts[0].flatten()[0]))
    rows = max(len(part) for part in parts)
    return "as given" if rows in {1, count_of(explanation)} else f"of {rows} examples"


def number(value: float) -> str:
    """Write a number shortly."""
    return f"{value:.2g}".replace("-", MINUS)


def parts_of(value: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return one or several tensors as a list."""
    return [value] if isinstance(value, Tensor) else list(value)


def array_of(value: Tensor) -> FloatArray:
    """Return a tensor as an array of float64."""
    if value.is_complex():
        raise invalid_type("explanation", "of complex numbers", "these have no order", "real attributions")
    array: FloatArray = value.detach().cpu().to(torch.float64).numpy()
    return array
