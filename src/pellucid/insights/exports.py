"""An explanation as a file: a figure, its numbers, or everything."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pellucid import Explanation
from pellucid.insights.answers import Answered, Asked, answer, edited, read, result_event
from pellucid.insights.asking import ExportBody
from pellucid.insights.exhibit import Exhibit
from pellucid.insights.features import GeneralFeature, TimeSeriesFeature
from pellucid.insights.line import Line, guarded
from pellucid.visualization import png_bytes

TYPES = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "json": "application/json",
    "safetensors": "application/octet-stream",
}


def export(exhibit: Exhibit, body: ExportBody, line: Line) -> None:
    """Answer with a file that holds the explanation a question asks for."""
    asked = read(exhibit, body.question)

    def work() -> None:
        answered = answer(exhibit, asked, line)
        found = replace(answered, explanation=_labelled(exhibit, asked, answered.explanation))
        content = _FORMS[body.form](exhibit, asked, found)
        name = f"example-{asked.example.index}-{found.explanation.method}.{body.form}"
        shown = base64.b64encode(content).decode("ascii")
        line.send({"kind": "file", "name": name, "type": TYPES[body.form], "base64": shown})

    guarded(line, work)


def _labelled(exhibit: Exhibit, asked: Asked, explanation: Explanation) -> Explanation:
    """Name columns, channels and tokens, where there is one feature that has them."""
    if len(exhibit.features) != 1 or explanation.layer is not None:
        return explanation
    feature = exhibit.features[0]
    raw = edited(exhibit.features, asked.example, asked.question.edits)[0][0]
    if feature.kind == "text":
        return explanation.labelled(tokens=[feature.shown(raw)])
    names = feature.categories if isinstance(feature, GeneralFeature) else ()
    names = feature.channels if isinstance(feature, TimeSeriesFeature) else names
    return explanation.labelled(names=names) if names else explanation


def _figure(form: str) -> Callable[[Exhibit, Asked, Answered], bytes]:
    def draw(exhibit: Exhibit, asked: Asked, found: Answered) -> bytes:
        del exhibit, asked
        figure, _ = found.explanation.plot(0)
        if form == "png":
            return png_bytes(figure)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        return stream.getvalue()

    return draw


def _json(exhibit: Exhibit, asked: Asked, found: Answered) -> bytes:
    content: dict[str, Any] = {"question": asdict(asked.question), "result": result_event(exhibit, found)}
    return json.dumps(content, indent=1, allow_nan=False).encode()


def _safetensors(exhibit: Exhibit, asked: Asked, found: Answered) -> bytes:
    del exhibit, asked
    with tempfile.TemporaryDirectory() as folder:
        return found.explanation.save(Path(folder) / "explanation.safetensors").read_bytes()


_FORMS: dict[str, Callable[[Exhibit, Asked, Answered], bytes]] = {
    "png": _figure("png"),
    "svg": _figure("svg"),
    "json": _json,
    "safetensors": _safetensors,
}
