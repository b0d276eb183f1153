"""Write what was found: pictures, the report and the attributions, under names that no file name can choose."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pellucid.cli._failures import Refusal
from pellucid.report import Run, Subject, explanation_title, render_comparison, write_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pellucid import Comparison, Explanation


SIZES = {"image": (2.9, 3.2), "text": (5.2, 2.2)}  # width and height of one panel in inches
DPI = 110


def prepare_folder(path: Path) -> None:
    """Make the output folder and see whether it can be written to, before any work is done.

    Raises:
        Refusal: It cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise Refusal(f"--out {path} cannot be written to: {error.strerror}.") from error


def write_everything(
    folder: Path,
    explanations: Sequence[Explanation],
    subject: Subject,
    run: Run,
    *,
    pictures: bool = True,
    progress: bool | None = None,
    comparison: Comparison | None = None,
) -> list[str]:
    """Write the report, the attributions and the pictures, and say what was written.

    Args:
        folder: Where; it exists.
        explanations: One per method.
        subject: The examples.
        run: What the report says about itself.
        pictures: Whether PNGs are written.
        progress: Whether progress is shown; None shows it if somebody is looking.
        comparison: What the methods are worth, for the end of the report.

    Returns:
        One line per thing written.

    Raises:
        Refusal: A file cannot be written.
    """
    try:
        report = write_report(folder / "report.html", explanations, subject, run, comparison)
        lines = [f"{report}: the report, one page without other files"]
        names, tokens = subject.feature_names or None, subject.tokens or None
        saved = [
            explanation.labelled(names=names, tokens=tokens).save(
                _made(folder / "attributions") / f"{slug(explanation.method)}.safetensors"
            )
            for explanation in explanations
        ]
        lines.append(f"{folder / 'attributions'}: {len(saved)} safetensors, one per method (pellucid.load reads them)")
        if pictures:
            count = _write_pictures(_made(folder / "pictures"), explanations, subject, progress)
            lines.append(f"{folder / 'pictures'}: {count} PNGs, one per example and method and one panel per example")
    except OSError as error:
        raise Refusal(f"--out {folder}: {error.filename or 'a file'} cannot be written: {error.strerror}.") from error
    return lines


def write_comparison(folder: Path, comparison: Comparison, run: Run, *, pictures: bool = True) -> list[str]:
    """Write the page, the numbers and the picture of a comparison, and say what was written.

    Raises:
        Refusal: A file cannot be written.
    """
    from pellucid.visualization import png_bytes  # noqa: PLC0415  (it draws)

    try:
        page = folder / "comparison.html"
        page.write_text(render_comparison(comparison, run=run), encoding="utf-8")
        numbers = folder / "comparison.json"
        numbers.write_text(json.dumps(comparison.to_dict(), indent=1, ensure_ascii=False), encoding="utf-8")
        lines = [f"{page}: the comparison, one page without other files", f"{numbers}: its numbers, example by example"]
        if pictures:
            (folder / "comparison.png").write_bytes(png_bytes(comparison.plot()[0], DPI))
            lines.append(f"{folder / 'comparison.png'}: means and intervals")
    except OSError as error:
        raise Refusal(f"--out {folder}: {error.filename or 'a file'} cannot be written: {error.strerror}.") from error
    return lines


def slug(text: str) -> str:
    """Return a file name that is nothing but letters, digits, dots, dashes and underscores.

    Example:
        >>> slug("../a b<script>.png")
        'a-b-script-.png'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60] or "example"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _write_pictures(folder: Path, explanations: Sequence[Explanation], subject: Subject, progress: bool | None) -> int:
    from pellucid.visualization import png_bytes  # noqa: PLC0415  (it draws)

    count = 0
    shown = sys.stderr.isatty() if progress is None else progress
    for position in tqdm(range(len(subject.names)), desc="pictures", disable=not shown, file=sys.stderr):
        name = subject.names[position]
        stem = f"{position:03d}-{slug(str(Path(name).with_suffix('')) if subject.kind == 'image' else name)}"
        for ending, figure in _figures(explanations, subject, position):
            (folder / f"{stem}{ending}.png").write_bytes(png_bytes(figure, DPI))
            count += 1
    return count


def _figures(explanations: Sequence[Explanation], subject: Subject, position: int) -> Iterator[tuple[str, Figure]]:
    """Draw one example: every method alone, then the example and all methods side by side.

    Yields:
        The ending of a file name, and a figure.
    """
    drawers = [(explanation.method, _drawer(explanation, subject, position)) for explanation in explanations]
    for method, draw in drawers:
        figure, axes = _axes(1, subject)
        draw(axes[0])
        yield f"-{slug(method)}", figure
    image = subject.kind == "image"
    figure, axes = _axes(len(drawers) + image, subject)
    if image:
        axes[0].imshow(subject.pictures[position], cmap="gray", vmin=0, vmax=1)
        axes[0].set_title("input")
        axes[0].set_axis_off()
    for ax, (_, draw) in zip(axes[image:], drawers, strict=True):
        draw(ax)
    yield "", figure


def _axes(count: int, subject: Subject) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # noqa: PLC0415  (it draws)
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415  (it draws)

    # numbers at the ends of neighbouring colour bars need room, so panels stand apart
    width, height = SIZES.get(subject.kind, (5.2, 4.4))
    figure = Figure(figsize=(width * count, height), layout=ConstrainedLayoutEngine(wspace=0.18))
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _drawer(explanation: Explanation, subject: Subject, position: int) -> Callable[[Axes], object]:
    from pellucid.visualization import draw_attribution, draw_bars, draw_tokens  # noqa: PLC0415  (it draws)

    values = explanation.attributions
    row = (values[0] if isinstance(values, tuple) else values)[position].detach().cpu().double().numpy()
    title = explanation_title(explanation)
    if subject.kind == "image":
        while row.ndim > 2:
            row = row.sum(axis=0)
        return lambda ax: draw_attribution(ax, row, title=title)
    if subject.kind == "text":
        tokens = subject.tokens[position]
        sums = row.sum(axis=-1)[: len(tokens)]
        return lambda ax: draw_tokens(ax, tokens, sums, title=title)
    numbers = row.ravel()
    names = [str(name) for name in subject.feature_names] or [f"feature {index}" for index in range(numbers.size)]
    return lambda ax: draw_bars(ax, numbers, names, title=title)
