"""The main job, step by step: options, model, data, plan, run, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pellucid
from pellucid import Comparison, MethodInfo
from pellucid.cli import _values as values
from pellucid.cli._content import names_something
from pellucid.cli._data import Data, Wanted, check_shape, load_data, load_rows, merged
from pellucid.cli._failures import Refusal
from pellucid.cli._images import ImageSettings
from pellucid.cli._judging import judge
from pellucid.cli._models import LoadedModel, load_model
from pellucid.cli._plan import Given, check_metrics, chosen_methods, plan
from pellucid.cli._running import Batches, PerExample, resolve_truth, run
from pellucid.cli._scope import at_scope, layer_of
from pellucid.cli._writing import prepare_folder, write_everything
from pellucid.report import Run, Subject


@dataclass(frozen=True)
class Options:
    """The options of ``pellucid explain`` and ``compare`` as they were typed; their help says what each means."""

    model: str
    data: str
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    out: Path
    target: str
    baseline: str | None
    baselines: str | None
    n_steps: str | None
    settings: tuple[str, ...]
    classes: str | None
    label: str | None
    size: str | None
    grayscale: bool
    mean: str | None
    std: str | None
    examples: str | None
    batch_size: int | None
    seed: int | None
    title: str
    pictures: bool
    progress: bool | None
    trust: bool
    layer: str | None = None
    neuron: str | None = None


@dataclass(frozen=True)
class Result:
    """What was written: where the report is, and one line about each thing."""

    report: Path
    lines: list[str]


@dataclass(frozen=True)
class Prepared:
    """Everything loaded and checked; the model has run once, on one example."""

    model: LoadedModel
    data: Data
    batches: Batches
    plans: list[tuple[MethodInfo, dict[str, Any]]]
    target: int | Tensor | None
    baseline: float | Tensor | PerExample | None
    truth: list[int | None]
    names: tuple[str, ...]
    scope: dict[str, Any]


def prepare(options: Options, say: Callable[[str], object], *, judged: bool = False) -> Prepared:
    """Load the model and the data, and check that all options fit together.

    Args:
        options: The options as typed.
        say: Called with each remark on the way.
        judged: Whether the methods are judged by metrics.

    Returns:
        What the jobs start from.

    Raises:
        Refusal: Something given cannot be used.
        ModelFailure: The model raised.
    """
    infos = chosen_methods(options.methods)
    check_metrics(options.metrics)
    target = values.parse_target(options.target)
    neuron = values.parse_neuron(options.neuron)
    if judged and (options.layer or options.neuron):
        raise Refusal("--metric judges what inputs do to outputs, so it cannot go with --layer or --neuron.")
    settings = values.parse_settings(options.settings)
    steps = values.parse_steps(options.n_steps)
    classes = values.parse_classes(options.classes)
    given_images = _image_settings(options)
    prepare_folder(options.out)

    model = load_model(options.model, trust=options.trust)
    images = merged(model.images, given_images)
    wanted = Wanted(images, options.label, options.examples)
    data = load_data(options.data, wanted, texts=model.takes == "text")
    check_shape(data, model.shape)
    given = Given(
        baseline=_baseline(options.baseline, data, images),
        baselines=_baselines(options.baselines, data, images),
        n_steps=steps,
        seed=options.seed,
        settings=settings,
        brings_baseline=data.kind == "text",
        judged=judged,
    )
    scope: dict[str, Any] = {"layer": layer_of(model.module, options.layer), "neuron": neuron}
    infos = at_scope(infos, model.module, **scope)
    plans = plan(infos, given)
    batches = Batches(model, data, options.batch_size)
    data.notes.extend(batches.notes)
    for note in (*model.notes, *data.notes):
        say(note)
    outputs = batches.probe()
    truth, names = resolve_truth(data, classes or model.class_names or (), outputs)
    _check_classes(target, outputs, classes)
    return Prepared(model, data, batches, plans, _target(target, truth), given.baseline, truth, names, scope)


def explain_data(options: Options, say: Callable[[str], object]) -> Result:
    """Do what ``pellucid explain`` says.

    Args:
        options: The options as typed.
        say: Called with each remark on the way.

    Returns:
        What was written.

    Raises:
        Refusal: Something given cannot be used.
        ModelFailure: The model raised.
    """
    ready = prepare(options, say, judged=bool(options.metrics))
    explanations = run(ready.batches, ready.plans, ready.target, progress=options.progress, **ready.scope)
    comparison = compared(ready, options) if options.metrics else None
    subject = _subject(ready.data, ready.batches, ready.truth, ready.names)
    lines = write_everything(
        options.out, explanations, subject, about(options, ready), pictures=options.pictures,
        progress=options.progress, comparison=comparison,
    )  # fmt: skip
    return Result(options.out / "report.html", lines)


def compared(ready: Prepared, options: Options) -> Comparison:
    """Judge the planned methods by the metrics that were typed, or the default ones."""
    common = {"target": ready.target, "baseline": ready.baseline, "seed": options.seed, "kind": ready.data.kind}
    return judge(ready.batches, ready.plans, options.metrics, common, progress=options.progress)


def _image_settings(options: Options) -> ImageSettings:
    return ImageSettings(
        size=values.parse_size(options.size),
        mean=values.parse_numbers(options.mean, "--mean"),
        std=values.parse_numbers(options.std, "--std"),
        grayscale=options.grayscale,
    )


def _baseline(text: str | None, data: Data, images: ImageSettings) -> float | Tensor | PerExample | None:
    """Read ``--baseline``: a number, one row, or one row per example."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    rows = _rows(text, data, images, "--baseline")
    if len(rows) == 1:
        return rows
    if len(rows) != len(data.names):
        raise Refusal(
            f"--baseline {text} holds {len(rows)} rows. Pass one row, or one for each of {len(data.names)} examples."
        )
    return PerExample(rows)


def _baselines(text: str | None, data: Data, images: ImageSettings) -> Tensor | None:
    return None if text is None else _rows(text, data, images, "--baselines")


def _rows(text: str, data: Data, images: ImageSettings, option: str) -> Tensor:
    if data.inputs is None:
        raise Refusal(f"{option} {text}: texts are compared with padding, or with a number for every embedding.")
    rows = load_rows(text, images, option)
    if rows.shape[1:] != data.inputs.shape[1:]:
        raise Refusal(
            f"{option} {text} holds examples of shape {tuple(rows.shape[1:])}, "
            f"but those of DATA have {tuple(data.inputs.shape[1:])}."
        )
    return rows


def _check_classes(target: int | str, outputs: int | None, classes: Sequence[str] | None) -> None:
    if outputs is None:
        return
    if isinstance(target, int) and target >= outputs:
        raise Refusal(f"--target is {target}, but the model has {outputs} outputs. Pass 0 to {outputs - 1}.")
    if classes is not None and len(classes) != outputs:
        raise Refusal(
            f"--classes holds {len(classes)} names, but the model has {outputs} outputs. Pass one name for each."
        )


def _target(target: int | str, truth: Sequence[int | None]) -> int | Tensor | None:
    """Return what is explained: an index for all, None for the predicted class, or the true classes."""
    if isinstance(target, int):
        return target
    if target == "predicted":
        return None

    known = [index for index in truth if index is not None]
    if len(known) != len(truth):
        raise Refusal(
            "--target label needs the true class of every example: name the labels with --label and --classes."
        )
    return torch.tensor(known)


def _subject(data: Data, batches: Batches, truth: Sequence[int | None], names: Sequence[str]) -> Subject:
    return Subject(
        kind=data.kind,
        names=data.names,
        pictures=data.pictures,
        feature_names=data.feature_names,
        values=data.values,
        tokens=batches.tokens,
        truth=truth,
        labels=data.labels,
        class_names=names,
    )


def about(options: Options, ready: Prepared) -> Run:
    """Say on the page what was typed, so that the run can be repeated."""
    typed = {
        "target": options.target, "layer": options.layer, "neuron": options.neuron,
        "baseline": options.baseline, "baselines": options.baselines,
        "n-steps": options.n_steps, "set": " ".join(options.settings) or None, "size": options.size,
        "grayscale": options.grayscale or None, "mean": options.mean, "std": options.std,
        "examples": options.examples, "seed": options.seed, "metric": " ".join(options.metrics) or None,
    }  # fmt: skip
    shown = [(f"--{name}", str(value)) for name, value in typed.items() if value is not None]
    source = ready.model.source
    versions = f"Pellucid {pellucid.__version__}, torch {torch.__version__}"
    return Run(
        title=options.title,
        model=Path(source).name if names_something(source) else source,
        data=_short(options.data),
        summaries={info.name: info.summary.replace("``", "") for info, _ in ready.plans},
        settings=[("MODEL", source), ("DATA", _short(options.data)), *shown, ("versions", versions)],
        notes=[*ready.model.notes, *ready.data.notes],
    )


def _short(data: str) -> str:
    path = Path(data)
    if names_something(data):
        return f"{path.name}/" if path.is_dir() else path.name
    return data if len(data) <= 80 else data[:77] + "..."
