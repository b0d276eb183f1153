"""The desk: it answers what a page asks about an exhibit.

It knows nothing of pages, servers and notebooks. An answer is a sequence of events, mappings of JSON values; several
may be given at once, in threads of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

import pellucid
from pellucid.errors import invalid_value
from pellucid.insights.answers import explain
from pellucid.insights.asking import AboutBody, PredictionsBody, ThumbnailsBody
from pellucid.insights.controls import controls_of
from pellucid.insights.exhibit import Exhibit
from pellucid.insights.exports import export
from pellucid.insights.line import Cancelled, Line, guarded
from pellucid.insights.scores import Score
from pellucid.insights.views import thumbnail
from pellucid.registry import MethodInfo
from pellucid.report import method_title
from pellucid.scopes import AT_LAYER

MANY_THUMBNAILS = 200
"""Thumbnails that may be asked for at a time."""


class Desk:
    """Answers questions about an exhibit.

    Args:
        exhibit: models and examples.
    """

    def __init__(self, exhibit: Exhibit) -> None:
        self._exhibit = exhibit

    @property
    def title(self) -> str:
        """The heading of a page."""
        return self._exhibit.config.title

    def answer(self, route: str, body: Any, line: Line) -> None:
        """Answer one question.

        Args:
            route: a key of ``pellucid.insights.asking.BODIES``.
            body: what is asked, of the route's class.
            line: takes the events. An exception of the user's model, data or transforms comes as an event.

        Raises:
            InvalidValueError: before the first event, for a question that cannot be asked.
            InvalidTypeError: likewise.
            Cancelled: if the answer is not wanted any more.
        """
        _ROUTES[route](self._exhibit, body, line)


def _about(exhibit: Exhibit, body: AboutBody, line: Line) -> None:
    del body
    config, chosen = exhibit.config, exhibit.config.filter
    line.send(
        {
            "kind": "about",
            "title": config.title,
            "version": pellucid.__version__,
            "static": False,
            "models": [{"name": n, "layers": _layers(m)} for n, m in zip(exhibit.names, exhibit.models, strict=True)],
            "classes": list(exhibit.classes),
            "features": [{"name": f.name, "kind": f.kind} for f in exhibit.features],
            "methods": [_method(exhibit, info) for info in pellucid.methods()],
            "defaults": {
                "model": 0,
                "method": chosen.attribution_method,
                "arguments": dict(chosen.attribution_arguments),
                "target": "label" if exhibit.use_label else "predicted",
                "filter": {"prediction": chosen.prediction, "classes": list(chosen.classes)},
            },
            "precomputed": None,
            "forms": ["png", "svg", "json", "safetensors"],
        }
    )


def _layers(model: Callable[..., Any]) -> list[str]:
    return [name for name, _ in model.named_modules() if name] if isinstance(model, nn.Module) else []


def _method(exhibit: Exhibit, info: MethodInfo) -> dict[str, Any]:
    scope = "layer" if info.needs_layer else "both" if info.name in AT_LAYER else "input"
    baseline = exhibit.baseline_control(info)
    controls = [*([baseline] if baseline else []), *controls_of(info)]
    return {
        "name": info.name,
        "title": method_title(info.name),
        "summary": info.summary.replace("``", ""),
        "scope": scope,
        "arguments": [control.event() for control in controls],
    }


def _predictions(exhibit: Exhibit, body: PredictionsBody, line: Line) -> None:
    exhibit.model(body.model)

    def work() -> None:
        for start, scores, labels in exhibit.predictions(body.model):
            rows = [
                _row(start + place, label, score)
                for place, (label, score) in enumerate(zip(labels, scores, strict=True))
            ]
            total = exhibit.examples.known if exhibit.examples.complete else None
            line.send({"kind": "predictions", "rows": rows, "total": total})
            if line.cancelled():
                raise Cancelled
        notes = [] if exhibit.examples.note is None else [exhibit.examples.note]
        line.send({"kind": "done", "total": exhibit.examples.known, "notes": notes})

    guarded(line, work)


def _row(index: int, label: int | None, score: Score) -> dict[str, Any]:
    value = score.value if score.predicted is None else None
    row = {"index": index, "name": f"example {index}", "label": label, "predicted": score.predicted}
    return {**row, "confidence": score.confidence, "value": value}


def _thumbnails(exhibit: Exhibit, body: ThumbnailsBody, line: Line) -> None:
    if len(body.examples) > MANY_THUMBNAILS:
        given = f"{len(body.examples)} of them"
        raise invalid_value("examples", given, "that is too many at a time", f"{MANY_THUMBNAILS} at most")
    chosen = [exhibit.examples[index] for index in body.examples]

    def work() -> None:
        items = [
            {
                "index": example.index,
                "parts": [thumbnail(f, part[0]) for f, part in zip(exhibit.features, example.raw, strict=True)],
            }
            for example in chosen
        ]
        line.send({"kind": "thumbnails", "items": items})

    guarded(line, work)


_ROUTES: dict[str, Callable[[Exhibit, Any, Line], None]] = {
    "about": _about,
    "predictions": _predictions,
    "thumbnails": _thumbnails,
    "explain": explain,
    "export": export,
}
"""What answers each route."""
