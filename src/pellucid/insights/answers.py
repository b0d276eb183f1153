"""The answer to a question: what is predicted, then what the prediction rests on.

A question is first read against the exhibit: which model, which example, which arguments. Only then are the model and
the user's transforms called.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import pellucid
from pellucid import Explanation, MethodInfo
from pellucid.errors import invalid_type, invalid_value
from pellucid.insights.asking import Edit, Question
from pellucid.insights.controls import BASELINE, GRID, controls_of, read_arguments
from pellucid.insights.examples import Example
from pellucid.insights.exhibit import SAMPLE, ZEROS, Exhibit
from pellucid.insights.features import Feature, TextFeature
from pellucid.insights.grouping import groups
from pellucid.insights.line import Cancelled, Line, guarded
from pellucid.insights.scores import Score, likeliest
from pellucid.insights.views import input_view, map_view, number
from pellucid.registry import method_named
from pellucid.report import certificate_view, explanation_title, method_title, png_uri, verdict_of
from pellucid.scopes import scoped
from pellucid.visualization import png_bytes
from pellucid.visualization.views import outputs_of, taken

SAMPLED = 16
"""Other examples that methods draw their baselines from."""
AMONG_OTHERS = frozenset({"feature_permutation"})
"""Methods that give an example the values of others in its batch."""
PAUSE = 0.1
"""Seconds between two messages about progress."""
SEED = 0
"""What random methods start from, so that the same question has the same answer."""


@dataclass(frozen=True)
class Asked:
    """A question that was read: it can be asked."""

    question: Question
    info: MethodInfo
    example: Example
    arguments: Mapping[str, Any]
    baseline: str | None
    grid: int | None


@dataclass(frozen=True)
class Answered:
    """The answer, in the terms of the library."""

    explanation: Explanation
    score: Score
    target: int | None


def read(exhibit: Exhibit, question: Question) -> Asked:
    """Check a question against an exhibit; neither the model nor a transform is called.

    Raises:
        InvalidValueError: for a model, example, method, layer, argument or edit that does not exist or fit.
        InvalidTypeError: for an argument of a wrong type.
    """
    model = exhibit.model(question.model)
    info, _ = scoped(method_named(question.method), model, question.layer, None)
    example = exhibit.examples[question.example]
    if isinstance(question.target, int) and not 0 <= question.target < (len(exhibit.classes) or math.inf):
        count = len(exhibit.classes) or "more"
        raise invalid_value("target", str(question.target), f"there are {count} classes", "the index of one, from 0")
    for edit in question.edits:
        _check_edit(edit, exhibit.features, example)
    control = exhibit.baseline_control(info)
    arguments = read_arguments(info, question.arguments, control)
    defaults = {c.name: c.default for c in controls_of(info)}
    grid = arguments.pop(GRID, None if question.layer else defaults.get(GRID))
    if grid is not None and question.layer is not None:
        raise invalid_value(GRID, str(grid), "it groups inputs, and a layer is explained", "nothing")
    baseline = arguments.pop(BASELINE, None if control is None else control.default)
    if info.takes("seed") and arguments.get("seed") is None:
        arguments["seed"] = SEED
    return Asked(question, info, example, arguments, baseline, grid)


def explain(exhibit: Exhibit, question: Question, line: Line) -> None:
    """Answer a question with events: the prediction, progress, and the result."""
    asked = read(exhibit, question)

    def work() -> None:
        answered = answer(exhibit, asked, line, tell=True)
        line.send(result_event(exhibit, answered))

    guarded(line, work)


def answer(exhibit: Exhibit, asked: Asked, line: Line, *, tell: bool = False) -> Answered:
    """Run the model and the method, with progress on the way.

    Args:
        exhibit: the model and the data.
        asked: the question.
        line: the way back.
        tell: whether the prediction is told as soon as it is known.

    Returns:
        The explanation of one example.

    Raises:
        Cancelled: if the answer is not wanted any more.
    """
    question, example = asked.question, asked.example
    raw = edited(exhibit.features, example, question.edits)
    inputs = exhibit.inputs_of(raw)
    score = exhibit.score(question.model, inputs, example.additional)[0]
    if tell:
        line.send(_prediction_event(exhibit, asked, raw, score))
    target = _target(asked, score)
    arguments, additional = dict(asked.arguments), example.additional
    if asked.info.name in AMONG_OTHERS:
        inputs, additional = _among_others(exhibit, asked, inputs)
    if asked.grid is not None:
        arguments["feature_mask"] = _like(inputs, groups(exhibit.features, inputs, asked.grid))
    if asked.baseline is not None:
        baselines = _baselines(exhibit, asked, inputs)
        arguments |= {} if baselines is None else {"baselines": baselines}
    if additional:
        arguments["additional_forward_args"] = additional
    chosen = target if asked.info.wraps or asked.info.takes("target") else None
    with pellucid.recording(quiet=True), pellucid.watching(_Told(line, method_title(asked.info.name))):
        explanation = pellucid.explain(
            exhibit.models[question.model],
            _like(inputs, inputs),
            question.method,
            chosen,
            layer=question.layer,
            **arguments,
        )
    return Answered(taken(explanation, [0]) if len(inputs[0]) > 1 else explanation, score, target)


class _Told:
    """Tells how far the work is, now and then, and ends it when the answer is not wanted any more."""

    def __init__(self, line: Line, title: str) -> None:
        self._line = line
        self._title = title
        self._last = time.monotonic()

    def __call__(self, step: pellucid.Step) -> None:
        if self._line.cancelled():
            raise Cancelled
        now = time.monotonic()
        if now - self._last >= PAUSE:
            self._last = now
            self._line.send({"kind": "progress", "text": self._title, "done": step.done, "total": step.total})


def edited(features: tuple[Feature, ...], example: Example, edits: tuple[Edit, ...]) -> tuple[Tensor, ...]:
    """Return a raw example with its edits, one after the other; the example itself stays as it is."""
    raw = list(example.raw)
    for edit in edits:
        feature, part = features[edit.feature], raw[edit.feature][0]
        if edit.token is not None and isinstance(feature, TextFeature):
            raw[edit.feature] = feature.replaced(part, edit.token, edit.text)[None]
            continue
        changed = part.detach().clone(memory_format=torch.contiguous_format)
        changed.view(-1)[list(edit.cells)] = torch.tensor(edit.values, dtype=torch.float64).to(changed)
        raw[edit.feature] = changed[None]
    return tuple(raw)


def _check_edit(edit: Edit, features: tuple[Feature, ...], example: Example) -> None:
    if not 0 <= edit.feature < len(features):
        raise invalid_value("feature", str(edit.feature), f"there are {len(features)}", "the number of one, from 0")
    feature, part = features[edit.feature], example.raw[edit.feature][0]
    if edit.token is not None:
        if not isinstance(feature, TextFeature):
            raise invalid_type("token", "given", f"{feature.name} is no text", "cells and values")
        feature.replaced(part, edit.token, edit.text)
        return
    if feature.kind == "text":
        raise invalid_type("cells", "given", f"{feature.name} is a text", "token and text")
    if len(edit.cells) != len(edit.values):
        given = f"{len(edit.values)} of them"
        raise invalid_value("values", given, f"there are {len(edit.cells)} cells", "one for each")
    beyond = [cell for cell in edit.cells if not 0 <= cell < part.numel()]
    if beyond:
        raise invalid_value("cells", str(beyond[0]), f"{feature.name} holds {part.numel()} values", "positions from 0")


def _target(asked: Asked, score: Score) -> int | None:
    """Return the class that is explained, or ``None`` if there are no classes."""
    if score.shares is None:
        return None
    wanted = asked.question.target
    if isinstance(wanted, int):
        if not 0 <= wanted < len(score.shares):
            raise invalid_value("target", str(wanted), f"there are {len(score.shares)} classes", "the index of one")
        return wanted
    label = asked.example.label
    known = label is not None and 0 <= label < len(score.shares)
    return label if wanted == "label" and known else score.predicted


def _baselines(exhibit: Exhibit, asked: Asked, inputs: tuple[Tensor, ...]) -> Any:
    """Return the chosen baseline of each input; ``None`` leaves zeros to the method."""
    name = asked.baseline or ZEROS
    many = asked.info.attribution.takes_distribution
    if asked.question.layer is None and name == ZEROS and not many:
        return None
    if name == SAMPLE:
        return _like(inputs, _sample(exhibit, asked, inputs))
    found = [None if name == ZEROS else f.baseline(name, x) for f, x in zip(exhibit.features, inputs, strict=True)]
    replaces = asked.info.attribution.takes_any_values or asked.info.attribution.takes_integers
    filled = [_zeros(x, replaces) if base is None else base for base, x in zip(found, inputs, strict=True)]
    return _like(inputs, tuple(filled))


def _zeros(values: Tensor, replaces: bool) -> Any:
    """Zeros in the place of values; of ids, vectors of zeros for what differentiates, else the id 0."""
    return torch.zeros_like(values) if values.is_floating_point() or replaces else "zero"


def _sample(exhibit: Exhibit, asked: Asked, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the model's inputs of other examples; of the example itself if there are none."""
    others = _others(exhibit, asked.example)
    joined = [torch.cat(parts) for parts in zip(*(other.raw for other in others), strict=True)]
    return exhibit.inputs_of(tuple(joined)) if joined else inputs


def _others(exhibit: Exhibit, example: Example) -> list[Example]:
    """Return the first other examples of the same shape."""
    exhibit.examples.batch(0)  # the first are known from here on
    near = (exhibit.examples[index] for index in range(min(exhibit.examples.known, 4 * SAMPLED)))
    shapes = [part.shape for part in example.raw]
    alike = (other for other in near if [part.shape for part in other.raw] == shapes and other.index != example.index)
    return list(itertools.islice(alike, SAMPLED))


def _among_others(
    exhibit: Exhibit, asked: Asked, inputs: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """Return a batch of the example followed by others, and their further arguments."""
    others = _others(exhibit, asked.example)
    if not others:
        return inputs, asked.example.additional
    batch = tuple(map(torch.cat, zip(inputs, _sample(exhibit, asked, inputs), strict=True)))
    each = zip(asked.example.additional, *(other.additional for other in others), strict=True)
    joined = (torch.cat(a) if all(isinstance(x, Tensor) and x.dim() and len(x) == 1 for x in a) else a[0] for a in each)
    return batch, tuple(joined)


def _like(inputs: tuple[Tensor, ...], values: Any) -> Any:
    """Return a tuple as the model takes it: one input stands alone."""
    return values[0] if len(inputs) == 1 else tuple(values)


def _prediction_event(exhibit: Exhibit, asked: Asked, raw: tuple[Tensor, ...], score: Score) -> dict[str, Any]:
    label, shares = asked.example.label, score.shares
    views = [
        input_view(feature, part[0], exhibit.examples.range_of(place))
        for place, (feature, part) in enumerate(zip(exhibit.features, raw, strict=True))
    ]
    chosen = [] if shares is None else likeliest(shares, label)
    return {
        "kind": "prediction",
        "label": label,
        "predicted": score.predicted,
        "confidence": None if score.confidence is None else number(score.confidence),
        "probabilities": [
            {"class": index, "name": exhibit.class_name(index), "share": number(float(shares[index]))}
            for index in chosen
            if shares is not None
        ],
        "value": score.value if shares is None else None,
        "inputs": views,
        "edited": bool(asked.question.edits),
    }


def result_event(exhibit: Exhibit, answered: Answered) -> dict[str, Any]:
    """Put an explanation of one example into JSON values."""
    explanation = answered.explanation
    parts = explanation.attributions if isinstance(explanation.attributions, tuple) else (explanation.attributions,)
    outputs, verdict = outputs_of(explanation), verdict_of(explanation, 0)
    delta = None if explanation.delta is None or len(explanation.delta) != 1 else explanation.delta[0]
    return {
        "kind": "result",
        "title": explanation_title(explanation),
        "target": {"index": answered.target, "name": exhibit.class_name(answered.target)},
        "maps": _maps(exhibit, explanation, parts),
        "contributions": [] if explanation.layer else _contributions(exhibit, parts),
        "sum": number(float(sum(part.double().sum() for part in parts))),
        "output": None if outputs is None else number(float(outputs[0])),
        "delta": None if delta is None else number(float(delta)),
        "verdict": {"level": verdict.level, "text": verdict.text, "detail": verdict.detail},
        "certificate": _certificate(explanation),
        "settings": dict(explanation.settings),
        "n_steps": _steps(explanation),
        "warnings": [{"category": notice.category, "message": notice.message} for notice in explanation.warnings],
        "cost": {"rows": explanation.cost.rows, "calls": explanation.cost.calls, "seconds": explanation.cost.seconds},
    }


def _maps(exhibit: Exhibit, explanation: Explanation, parts: tuple[Tensor, ...]) -> list[dict[str, Any]]:
    """One drawing for each input, or one figure of a layer."""
    if explanation.layer is None:
        return [map_view(feature, part[0]) for feature, part in zip(exhibit.features, parts, strict=True)]
    figure, _ = explanation.plot(0)
    alt = f"{explanation_title(explanation)}: values of shape {tuple(parts[0].shape[1:])}"
    return [{"kind": "figure", "uri": png_uri(png_bytes(figure, dpi=110)), "alt": alt}]


def shares_of(parts: tuple[Tensor, ...]) -> list[float]:
    """Return each input's share of the magnitudes of all attributions."""
    sizes = [float(part.double().abs().sum()) for part in parts]
    total = sum(sizes)
    return [size / total if total else 0.0 for size in sizes]


def _contributions(exhibit: Exhibit, parts: tuple[Tensor, ...]) -> list[dict[str, Any]]:
    """The sum of each input's attributions, and its share of all magnitudes."""
    return [
        {"feature": f.name, "sum": number(float(part.double().sum())), "share": number(share)}
        for f, part, share in zip(exhibit.features, parts, shares_of(parts), strict=True)
    ]


def _certificate(explanation: Explanation) -> dict[str, Any] | None:
    view = certificate_view(explanation.certificate)
    if view is None:
        return None
    rows = [{"operation": row.operations, "rule": row.rule, "count": row.calls} for row in view.rows]
    return {"title": view.guarantee, "facts": [*view.gaps, *view.notices], "operations": rows}


def _steps(explanation: Explanation) -> int | None:
    steps = explanation.n_steps
    return int(steps.flatten()[0]) if isinstance(steps, Tensor) else steps
