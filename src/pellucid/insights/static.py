"""The page as one file: what it would ask is asked beforehand, and the answers lie in it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from pellucid.insights.asking import AboutBody, PredictionsBody, Question, ThumbnailsBody
from pellucid.insights.bundle import page
from pellucid.insights.desk import Desk
from pellucid.insights.line import Cancelled, Line


def key_of(route: str, body: Any) -> str:
    """Name a question in a page's table of answers: its route, and its body as JSON with sorted keys.

    Example:
        >>> key_of("predictions", PredictionsBody(model=1))
        'predictions {"model":1}'
    """
    return f"{route} {json.dumps(asdict(body), sort_keys=True, separators=(',', ':'))}"


def events_of(desk: Desk, route: str, body: Any) -> list[dict[str, Any]]:
    """Return all events of an answer but those about progress."""
    events: list[dict[str, Any]] = []
    desk.answer(route, body, Line(events.append, lambda: False))
    return [event for event in events if event["kind"] != "progress"]


def static_page(desk: Desk, questions: Sequence[Question]) -> str:
    """Return a page that holds the answers to some questions, and offers no others.

    Args:
        desk: what answers them.
        questions: what can be asked: one for each example, model and method.

    Returns:
        HTML that needs no other file and no other host.
    """
    examples = sorted({question.example for question in questions})
    models = sorted({question.model for question in questions})
    [about] = events_of(desk, "about", AboutBody())
    methods = {question.method for question in questions}
    about |= {
        "static": True,
        "methods": [method for method in about["methods"] if method["name"] in methods],
        "precomputed": [dict(choice) for choice in dict.fromkeys(map(_choice, questions))],
        "forms": ["json"],
    }
    answers = {key_of("about", AboutBody()): [about]}
    for model in models:
        body = PredictionsBody(model)
        answers[key_of("predictions", body)] = _predictions(desk, body, examples)
    for index in examples:
        one = ThumbnailsBody((index,))
        answers[key_of("thumbnails", one)] = events_of(desk, "thumbnails", one)
    for question in questions:
        shown = replace(question, arguments={})  # the page has no others to offer
        answers[key_of("explain", shown)] = events_of(desk, "explain", question)
    return page({"transport": "static", "static": True, "answers": answers}, desk.title, None)


def _choice(question: Question) -> tuple[tuple[str, Any], ...]:
    """What a page can choose for each example."""
    return ("model", question.model), ("method", question.method), ("target", question.target)


def _predictions(desk: Desk, body: PredictionsBody, examples: Sequence[int]) -> list[dict[str, Any]]:
    """Return the predictions of some examples; no more than are needed are made."""
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    kept = set(examples)

    def take(event: dict[str, Any]) -> None:
        rows.extend(row for row in event.get("rows", ()) if row["index"] in kept)
        failed.extend([event] if event["kind"] == "error" else [])

    with contextlib.suppress(Cancelled):
        desk.answer("predictions", body, Line(take, lambda: len(rows) == len(kept)))
    found = {"kind": "predictions", "rows": rows, "total": len(rows)}
    return failed or [found, {"kind": "done", "total": len(rows), "notes": []}]
