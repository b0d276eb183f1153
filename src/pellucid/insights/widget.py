"""Pellucid Insights inside a notebook: the same page and the same answers, over the notebook's own connection."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import anywidget
import traitlets

from pellucid.errors import PellucidError, invalid_value
from pellucid.insights import bundle
from pellucid.insights.asking import BODIES
from pellucid.insights.jobs import Answering, Job, Jobs, encode
from pellucid.insights.line import Cancelled
from pellucid.insights.reading import read_body

logger = logging.getLogger(__name__)


class InsightsWidget(anywidget.AnyWidget):
    """The page of a desk as a widget.

    A message of the page, ``{"id", "route", "body"}``, is read and handed to a worker thread at once, so that the
    kernel goes on with other messages, among them ``{"id", "cancel"}``. The worker sends what comes of it: any number
    of ``{"id", "event"}``, then ``{"id", "end"}`` or ``{"id", "failed"}``. It sends in the context in which the
    question was heard, since kernels tell from it which message is answered and over which of their threads the page
    goes on talking.

    Args:
        desk: what answers.

    Attributes:
        flagged: examples that were flagged in the page, also settable from Python.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    flagged = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, desk: Answering) -> None:
        self._answers = Jobs(desk)
        self._asked: dict[int, Job] = {}
        self._lock = threading.RLock()
        super().__init__(_esm=bundle.module(), _css=bundle.stylesheet())
        self.on_msg(lambda _widget, content, _buffers: self.hear(content))

    def hear(self, message: Any) -> None:
        """Take a message of the page, and return at once; one that cannot be read is answered with ``failed``.

        Args:
            message: JSON values.
        """
        number = message.get("id") if isinstance(message, dict) else None
        if isinstance(number, bool) or not isinstance(number, int):
            self.tell({"id": None, "failed": "A message needs an integer as its id."})
        elif message.get("cancel") is True:
            with self._lock:
                job = self._asked.get(number)
            if job is not None:
                self._answers.cancel(job)
        else:
            try:
                self._start(number, message.get("route"), message.get("body"))
            except PellucidError as error:
                self.tell({"id": number, "failed": str(error)})

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the page, from any thread; one at a time, as kernels number their messages."""
        with self._lock:
            self.send(message)

    def forget(self, number: int) -> None:
        """Take the number of a question as free again."""
        with self._lock:
            self._asked.pop(number, None)

    def close(self) -> None:
        """Cancel all answers and remove the page from the notebook."""
        if hasattr(self, "_answers"):  # not so if making the widget failed
            self._answers.close()
        super().close()

    def _start(self, number: int, route: Any, body: Any) -> None:
        if not isinstance(route, str) or route not in BODIES:
            raise invalid_value("route", repr(route)[:80], "there is no such question", f"one of {', '.join(BODIES)}")
        try:
            content = json.dumps(body, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise invalid_value("body", f"no JSON ({error})", "it cannot be read", "JSON values") from None
        question = read_body(route, content)
        with self._lock:
            if number in self._asked:
                raise invalid_value("id", str(number), "its question is being answered", "a new number")
            self._asked[number] = self._answers.start(route, question, _Answer(self, number))


class _Answer:
    """Receives the events of one job (see `Receiver`) and sends them to the page."""

    def __init__(self, widget: InsightsWidget, number: int) -> None:
        self._widget, self._number = widget, number

    def event(self, event: dict[str, Any]) -> None:
        encode(event)  # a kernel would send what is no JSON as text
        self._widget.tell({"id": self._number, "event": event})

    def stop(self) -> None:
        """Nothing waits here: a kernel takes every message at once."""

    def end(self, error: Exception | None) -> None:
        self._widget.forget(self._number)
        if isinstance(error, Cancelled) or error is None:
            self._widget.tell({"id": self._number, "end": True})
        else:
            self._widget.tell({"id": self._number, "failed": str(error)})
