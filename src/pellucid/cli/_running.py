"""Run every method on every example, a batch at a time, and put the parts together again."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import pellucid
from pellucid import Cost, Explanation, MethodInfo
from pellucid.cli._data import Data
from pellucid.cli._failures import Refusal, users_code
from pellucid.cli._models import LoadedModel
from pellucid.errors import PellucidWarning

TENSOR_FIELDS = (
    "attributions",
    "inputs",
    "baselines",
    "target",
    "outputs",
    "delta",
    "bypass",
    "standard_error",
    "n_steps",
)


class Batches:
    """The examples in the parts in which they are explained; a text is a part of its own.

    Args:
        model: The model.
        data: The examples.
        size: How many are explained at a time; None for all at once.
    """

    def __init__(self, model: LoadedModel, data: Data, size: int | None) -> None:
        self.module = model.module
        self.notes: list[str] = []
        self.tokens: list[tuple[str, ...]] = []
        self.parts: list[tuple[Tensor, dict[str, Any], Tensor | None]] = []
        if data.inputs is not None:
            self.parts = [(part, {}, None) for part in torch.split(data.inputs, size or len(data.inputs))]
            return
        if model.tokenize is None:
            raise Refusal("This model takes no text.")
        for text in data.texts:
            with users_code("the model"):
                found = model.tokenize(text)
            self.tokens.append(found.tokens)
            if found.cut:
                self.notes.append(f"Only the first {len(found.tokens)} tokens of a text are read: {text[:40]}...")
            self.parts.append((found.embeddings, {"additional_forward_args": found.mask}, found.baseline))

    def probe(self) -> int | None:
        """Run the model once on one example, so that it fails early, and return how many outputs it has.

        Returns:
            C for outputs (N, C), None for others.

        Raises:
            ModelFailure: The model raised.
        """
        inputs, others, _ = self.parts[0]
        arguments = tuple(value[:1] for value in others.values())
        with users_code("the model"), torch.no_grad():
            outputs = self.module(inputs[:1], *arguments)
        return outputs.shape[1] if isinstance(outputs, Tensor) and outputs.ndim == 2 else None


def run(
    batches: Batches,
    plans: Sequence[tuple[MethodInfo, dict[str, Any]]],
    target: int | Tensor | None,
    *,
    progress: bool | None = None,
    layer: str | None = None,
    neuron: Any = None,
) -> list[Explanation]:
    """Explain all examples by all methods.

    Args:
        batches: The model and its examples.
        plans: Methods with their arguments.
        target: One index for all, one per example, or None for the predicted class.
        progress: Whether progress is shown; None shows it if somebody is looking.
        layer: The layer that is explained, or whose neuron is.
        neuron: The neuron.

    Returns:
        One explanation per method, over all examples.

    Raises:
        Refusal: An argument cannot be used.
        ModelFailure: The model raised.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    found = []
    with tqdm(total=len(plans) * len(batches.parts), unit="part", disable=not shown, file=sys.stderr) as bar:
        for info, arguments in plans:
            bar.set_description(info.name)
            pieces = []
            start = 0
            for inputs, others, baseline in batches.parts:
                rows = slice(start, start + len(inputs))
                start += len(inputs)
                own = {**rows_of(arguments, rows), **others}
                if baseline is not None and info.takes("baselines"):
                    own.setdefault("baselines", baseline)
                if len(batches.parts) == 1 and shown and info.takes("show_progress"):
                    own.setdefault("show_progress", True)
                chosen = target[rows] if isinstance(target, Tensor) else target
                with users_code("the model"), warnings.catch_warnings():
                    warnings.simplefilter("ignore", PellucidWarning)  # they come back as data, for the report
                    if not (info.wraps or info.takes("target")):
                        chosen = None
                    asked = {"method": info.name, "target": chosen, "layer": layer, "neuron": neuron}
                    pieces.append(pellucid.explain(batches.module, inputs, **asked, **own))
                bar.update()
            found.append(_together(pieces))
    return found


def rows_of(arguments: dict[str, Any], rows: slice) -> dict[str, Any]:
    """Cut a baseline of one row per example to the rows of a part."""
    baseline = arguments.get("baselines")
    if not isinstance(baseline, PerExample):
        return arguments
    return {**arguments, "baselines": baseline.rows[rows]}


class PerExample:
    """Baselines that belong to the examples row by row.

    Args:
        rows: The rows, (N, ...).
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows


def _together(pieces: Sequence[Explanation]) -> Explanation:
    """Join explanations of parts; texts of different lengths are filled with zeros at the end."""
    first = pieces[0]
    if len(pieces) == 1:
        return first
    fields = {name: _joined(name, [getattr(piece, name) for piece in pieces], pieces) for name in TENSOR_FIELDS}
    cost = Cost(
        sum(piece.cost.rows for piece in pieces),
        sum(piece.cost.calls for piece in pieces),
        sum(piece.cost.seconds for piece in pieces),
    )
    warnings = tuple(dict.fromkeys(notice for piece in pieces for notice in piece.warnings))
    return replace(first, **fields, cost=cost, warnings=warnings)


def _joined(name: str, values: Sequence[Any], pieces: Sequence[Explanation]) -> Any:
    if not isinstance(values[0], Tensor):
        if all(value == values[0] for value in values):
            return values[0]
        return torch.tensor([value for value, piece in zip(values, pieces, strict=True) for _ in piece.outputs])
    counts = [len(piece.outputs) for piece in pieces]
    if name == "delta" and [len(value) for value in values] != counts:
        return torch.stack([value.sum() for value in values]).sum().reshape(1)  # of a model that mixes examples
    if [len(value) for value in values] != counts:
        return values[0]  # rows that all parts share, such as baselines to draw from
    if any(value.shape[1:] != values[0].shape[1:] for value in values):
        longest = max(value.shape[1] for value in values)
        values = [_filled(value, longest) for value in values]
    return torch.cat(list(values))


def _filled(value: Tensor, length: int) -> Tensor:
    missing = torch.zeros(len(value), length - value.shape[1], *value.shape[2:], dtype=value.dtype)
    return torch.cat([value, missing], dim=1)


def resolve_truth(
    data: Data, class_names: Sequence[str], outputs: int | None
) -> tuple[list[int | None], tuple[str, ...]]:
    """Find the index of each true label, and names for the classes.

    Labels are looked up among the class names; otherwise numbers are indices, and the sub-folders of a
    folder of images, in order, are the classes if there are as many as outputs.

    Args:
        data: The examples with their labels.
        class_names: Names from the options or the model; may be empty.
        outputs: How many outputs the model has, if known.

    Returns:
        One index or None per example, and the class names.
    """
    names = tuple(class_names)
    if not names and data.label_set and len(data.label_set) == outputs:
        names = tuple(data.label_set)
    truth: list[int | None] = []
    for label in data.labels or [None] * len(data.names):
        if label is not None and label in names:
            truth.append(names.index(label))
        elif label is not None and label.isdecimal() and outputs is not None and int(label) < outputs:
            truth.append(int(label))
        else:
            truth.append(None)
    return truth, names
