"""``pellucid insights``: models and data as a page in the browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pellucid.cli import _values as values
from pellucid.cli._data import Data, Wanted, check_shape, load_data, merged
from pellucid.cli._explain import Result
from pellucid.cli._failures import Refusal, users_code
from pellucid.cli._images import ImageSettings
from pellucid.cli._models import ById, LoadedModel, load_model
from pellucid.cli._plan import chosen_methods
from pellucid.cli._running import resolve_truth
from pellucid.insights import (
    AttributionVisualizer,
    Batch,
    Feature,
    FilterConfig,
    GeneralFeature,
    ImageFeature,
    PageConfig,
    TextFeature,
)

AT_A_TIME = 64
ROOM = 4
"""Tokens of padding after the longest text, so that words can be edited to longer ones."""


@dataclass(frozen=True)
class Shown:
    """The options of ``pellucid insights`` as they were typed; their help says what each means."""

    model: str
    data: str
    others: tuple[str, ...]
    method: str
    target: str
    classes: str | None
    label: str | None
    size: str | None
    grayscale: bool
    mean: str | None
    std: str | None
    examples: str
    port: int | None
    out: Path | None
    title: str
    open_page: bool
    trust: bool


def show_data(options: Shown, say: Callable[[str], object]) -> Result:
    """Do what ``pellucid insights`` says; a server runs until it is interrupted.

    Args:
        options: The options as typed.
        say: Called with each remark on the way.

    Returns:
        What was written.

    Raises:
        Refusal: Something given cannot be used.
        ModelFailure: The model raised.
    """
    chosen_methods((options.method,))
    if options.target not in {"predicted", "label"}:
        raise Refusal(f"--target is {options.target!r}. Pass predicted or label; the page offers all classes.")
    visualizer = visualizer_of(options, say)
    with users_code("the page"):
        if options.out is None:
            visualizer.serve(blocking=True, port=options.port, open_browser=options.open_page)
            return Result(Path(), [])
        visualizer.to_html(options.out)
    return Result(options.out, [f"Wrote {options.out}."])


def visualizer_of(options: Shown, say: Callable[[str], object]) -> AttributionVisualizer:
    """Load models and data as typed, and put them together.

    Raises:
        Refusal: Something given cannot be used, or the models do not fit the data.
        ModelFailure: A model raised.
    """
    images = ImageSettings(
        size=values.parse_size(options.size),
        mean=values.parse_numbers(options.mean, "--mean"),
        std=values.parse_numbers(options.std, "--std"),
        grayscale=options.grayscale,
    )
    classes = values.parse_classes(options.classes)
    models = {spec: load_model(spec, trust=options.trust) for spec in (options.model, *options.others)}
    first, kinds = models[options.model], {model.takes for model in models.values()}
    if len(kinds) > 1:
        raise Refusal("--beside needs models of the same inputs, but some take texts and some do not.")
    settings = merged(first.images, images)
    shown = replace(settings, mean=None, std=None)  # the page shows images as they are, the models see them normalised
    data = load_data(options.data, Wanted(shown, options.label, options.examples), texts=first.takes == "text")
    check_shape(data, first.shape)
    feature, inputs = _feature(data, first, settings)
    with users_code("the model"), torch.no_grad():
        outputs = _callable(first)(feature.inputs(inputs[:1]))
    count = outputs.shape[1] if isinstance(outputs, Tensor) and outputs.dim() == 2 else None
    truth, names = resolve_truth(data, classes or first.class_names or (), count)
    if names and count is not None and len(names) != count:
        raise Refusal(f"--classes holds {len(names)} names, but the model has {count} outputs. Pass one for each.")
    for note in (*(note for model in models.values() for note in model.notes), *data.notes):
        say(note)
    with users_code("the page"):
        return AttributionVisualizer(
            _named(models),
            names or [str(place) for place in range(count or 0)],
            feature,
            _batches(inputs, truth),
            use_label_for_attr=options.target == "label",
            config=PageConfig(options.title, FilterConfig(options.method, num_examples=len(inputs)), len(inputs)),
        )


def _named(models: dict[str, LoadedModel]) -> dict[str, torch.nn.Module]:
    """Call each model by the end of what was typed, or by all of it where two would be called the same."""
    ends = [Path(spec).name for spec in models]
    short = len(set(ends)) == len(ends) and all(ends)
    return {Path(spec).name if short else spec: _callable(model) for spec, model in models.items()}


def _callable(model: LoadedModel) -> torch.nn.Module:
    return model.module if model.by_id is None else model.by_id.module


def _feature(data: Data, model: LoadedModel, images: ImageSettings) -> tuple[Feature, Tensor]:
    """Say what the inputs are, and give them as a person knows them."""
    if model.by_id is not None:
        return TextFeature("text", tokenizer=model.by_id.tokenizer), _ids(data, model.by_id)
    if data.inputs is None:
        raise Refusal("This model takes no text.")
    if data.kind == "image":
        normal = [images.normalize] if images.mean is not None or images.std is not None else []
        return ImageFeature("image", input_transforms=normal), data.inputs
    names = data.feature_names or [f"feature {place}" for place in range(data.inputs[0].numel())]
    return GeneralFeature("row", names), data.inputs


def _ids(data: Data, model: ById) -> Tensor:
    """Tokenize texts to ids (N, T) with some padding after the longest, as far as the model can read."""
    tokenizer = model.tokenizer
    rows = [tokenizer(text, truncation=True, max_length=model.limit)["input_ids"] for text in data.texts]
    for text, row in zip(data.texts, rows, strict=True):
        if len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) > len(row):
            data.notes.append(f"Only the first {len(row)} tokens of a text are read: {text[:40]}...")
    longest, padding = max(map(len, rows)), tokenizer.pad_token_id
    if padding is None and len(set(map(len, rows))) > 1:
        raise Refusal("The tokenizer has no padding, so texts of different lengths cannot be shown together.")
    length = longest if padding is None else min(longest + ROOM, model.limit)
    return torch.tensor([[*row, *[padding] * (length - len(row))] for row in rows])


def _batches(inputs: Tensor, truth: list[int | None]) -> list[Batch]:
    """Cut the examples into batches."""
    labels = torch.tensor([-1 if label is None else label for label in truth])
    return [Batch(x, y) for x, y in zip(*(torch.split(t, AT_A_TIME) for t in (inputs, labels)), strict=True)]
