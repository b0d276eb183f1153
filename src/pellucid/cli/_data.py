"""DATA: whatever stands on the command line becomes a batch, with what a person knows about each example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.cli._arrays import load_array
from pellucid.cli._content import WHY_NOT_PICKLE, first_bytes, is_pickle, names_something
from pellucid.cli._failures import Refusal
from pellucid.cli._images import SUFFIXES, ImageSettings, find_images, load_images
from pellucid.cli._tables import load_table
from pellucid.cli._values import parse_examples

TABLES = {".csv", ".tsv", ".parquet", ".pq"}
ARRAYS = {".npy", ".safetensors"}
FORMS = "an image, a folder of images, .npy, .safetensors, .csv, .parquet, or a text for a Hugging Face text model"


@dataclass
class Data:
    """The chosen examples.

    Attributes:
        kind: How they are shown.
        names: A name for each.
        inputs: The batch (N, ...); None for texts, whose embeddings are made one text at a time.
        texts: The texts, for texts.
        pictures: What a person sees, for images.
        feature_names: Names of the columns, for tables.
        values: What each row holds, for tables.
        labels: The true label of each as text, where known.
        label_set: All labels that there are, in order, for folders of images.
        notes: What the user should know.
        available: How many examples there were before the choice.
    """

    kind: Literal["image", "table", "text"]
    names: list[str]
    inputs: Tensor | None = None
    texts: list[str] = field(default_factory=list)
    pictures: list[NDArray[np.float32]] = field(default_factory=list)
    feature_names: list[str] = field(default_factory=list)
    values: list[list[str]] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    label_set: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    available: int = 0


@dataclass(frozen=True)
class Wanted:
    """What the options say about DATA."""

    images: ImageSettings
    label: str | None = None
    examples: str | None = None


def load_data(spec: str, wanted: Wanted, *, texts: bool) -> Data:
    """Load DATA.

    Args:
        spec: What stands on the command line.
        wanted: How images are prepared, where labels are, which examples are chosen.
        texts: Whether the model takes texts.

    Returns:
        The chosen examples.

    Raises:
        Refusal: It is nothing that can be explained.
    """
    data = _load_texts(spec, wanted) if texts else _load_inputs(spec, wanted)
    if len(data.names) < data.available and wanted.examples is None:
        data.notes.append(f"Explains the first {len(data.names)} of {data.available} examples; choose with --examples.")
    return data


def load_rows(spec: str, images: ImageSettings, option: str) -> Tensor:
    """Load all rows of a second file, such as baselines, in the way of DATA."""
    try:
        data = _load_inputs(spec, Wanted(images, examples="all"))
    except Refusal as refusal:
        raise Refusal(f"{option}: {refusal.message}") from refusal
    if data.inputs is None:
        raise Refusal(f"{option}: {spec} holds no numbers.")
    return data.inputs


def _load_inputs(spec: str, wanted: Wanted) -> Data:
    path = Path(spec)
    suffix = path.suffix.lower()
    if not names_something(spec):
        raise Refusal(f"DATA {spec} does not exist. Pass {FORMS}.")
    if path.is_dir() or suffix in SUFFIXES:
        return _load_images(path, wanted)
    if suffix in ARRAYS:
        return _load_array(path, wanted)
    if suffix in TABLES:
        return _load_table(path, wanted)
    if is_pickle(path):
        raise Refusal(f"DATA {spec} is refused: it is a pickle, and {WHY_NOT_PICKLE}. Pass {FORMS}.")
    if suffix == ".txt":
        raise Refusal(f"DATA {spec} is text, but this model takes none: texts need a Hugging Face text model.")
    raise Refusal(f"DATA {spec} is of no known kind. Pass {FORMS}.")


def _load_images(path: Path, wanted: Wanted) -> Data:
    if path.is_file() and is_pickle(path):
        raise Refusal(f"DATA {path} is refused: whatever its name, it is a pickle, and {WHY_NOT_PICKLE}.")
    files, labels = find_images(path)
    chosen = parse_examples(wanted.examples, len(files))
    inputs, pictures = load_images([files[i] for i in chosen], wanted.images)
    names = [str(files[i].relative_to(path)) if path.is_dir() else path.name for i in chosen]
    return Data(
        "image",
        names,
        inputs,
        pictures=pictures,
        labels=[labels[i] for i in chosen],
        label_set=_in_order({label for label in labels if label is not None}),
        available=len(files),
    )


def _in_order(labels: set[str]) -> list[str]:
    """Sort labels, numbers by their size."""
    return sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels)


def _load_array(path: Path, wanted: Wanted) -> Data:
    array, labels = load_array(path, wanted.label)
    chosen = parse_examples(wanted.examples, len(array))
    inputs = array[chosen]
    data = Data(
        "image" if inputs.ndim in {3, 4} else "table",
        [f"example {i}" for i in chosen],
        inputs,
        labels=[None if labels is None else str(int(labels[i])) for i in chosen],
        available=len(array),
    )
    if data.kind == "image":
        data.pictures = _pictures(inputs)
    else:
        data.values = [[f"{value:g}" for value in row] for row in inputs.flatten(1)[:, :1000].tolist()]
    if inputs.ndim == 4:
        data.inputs = wanted.images.normalize(inputs)
    return data


def _pictures(inputs: Tensor) -> list[NDArray[np.float32]]:
    """Show arrays (N, C, H, W) or (N, H, W) as pictures from 0 to 1."""
    colour = inputs.ndim == 4 and inputs.shape[1] == 3
    shown = inputs.permute(0, 2, 3, 1) if colour else inputs.mean(1) if inputs.ndim == 4 else inputs
    low, high = float(shown.min()), float(shown.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0  # fractions, or levels
    shown = (shown - low) / (high - low)
    return list(shown.contiguous().numpy())


def _load_table(path: Path, wanted: Wanted) -> Data:
    table = load_table(path, wanted.label)
    rows = table.tensor()
    chosen = parse_examples(wanted.examples, len(rows))
    return Data(
        "table",
        [f"row {i}" for i in chosen],
        rows[chosen],
        feature_names=table.names,
        values=[[f"{column[i]:g}" for column in table.columns] for i in chosen],
        labels=[None if table.labels is None else table.labels[i] for i in chosen],
        notes=table.notes,
        available=len(rows),
    )


def _load_texts(spec: str, wanted: Wanted) -> Data:
    path = Path(spec)
    texts = [spec]
    if path.suffix.lower() == ".txt":
        first_bytes(path)
        try:
            texts = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            raise Refusal(f"DATA {spec} is no readable UTF-8 text.") from None
    elif names_something(spec):
        raise Refusal(f"DATA {spec} is no text. This model takes a .txt file with one text per line, or a quoted text.")
    if not any(text.strip() for text in texts):
        raise Refusal("DATA holds no text. Pass a .txt file with one text per line, or a quoted text.")
    chosen = parse_examples(wanted.examples, len(texts))
    shown = [texts[i] for i in chosen]
    names = [text if len(text) <= 60 else text[:57] + "..." for text in shown]
    return Data("text", names, texts=shown, labels=[None] * len(shown), available=len(texts))


def check_shape(data: Data, shape: Sequence[int | None] | None) -> None:
    """Refuse examples of another shape than the model says it takes, before it runs.

    Raises:
        Refusal: The shapes differ.
    """
    if shape is None or data.inputs is None:
        return
    found = tuple(data.inputs.shape[1:])
    if len(found) == len(shape) and all(want in {None, size} for want, size in zip(shape, found, strict=True)):
        return
    wanted = "x".join("any" if size is None else str(size) for size in shape)
    advice = ""
    if data.kind == "image" and len(shape) == 3:
        advice = " Pass --grayscale." if shape[0] == 1 and found[0] == 3 else f" Pass --size {shape[1]}x{shape[2]}."
    raise Refusal(f"The model takes examples of {wanted}, but DATA gives {'x'.join(map(str, found))}.{advice}")


def merged(own: ImageSettings | None, given: ImageSettings) -> ImageSettings:
    """Return what the options say about images, and otherwise what the model brings."""
    if own is None:
        return given
    return replace(
        own,
        size=given.size or own.size,
        shortest=None if given.size else own.shortest,
        mean=given.mean or own.mean,
        std=given.std or own.std,
        grayscale=given.grayscale,
    )
