"""A desk without models: what it does is chosen by the question, and tests see what becomes of it."""

import threading

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.insights.line import Cancelled

PATIENCE = 30.0
"""Seconds after which a test gives up; none waits that long unless something is broken."""


class FakeDesk:
    """Answers by the name of the method of a question, any other as a usual one; ``predictions`` send ``rows`` events
    with names of ``width`` letters.

    ``waiting`` counts answers that wait to be cancelled, ``left`` those that were; ``most`` is the largest number of
    answers at a time, ``sent`` the number of events that were taken.
    """

    title = "A <fake> desk"

    def __init__(self, rows=40, width=50):
        self.rows, self.width = rows, width
        self.asked, self.sent, self.now, self.most = [], 0, 0, 0
        self.lock = threading.Lock()
        self.waiting, self.left = threading.Semaphore(0), threading.Semaphore(0)
        self.go_on = threading.Event()

    def answer(self, route, body, line):
        with self.lock:
            self.asked.append((route, body))
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            name = f"_{body.method}" if route == "explain" else f"_{route}"
            getattr(self, name, self._integrated_gradients)(body, line)
        finally:
            with self.lock:
                self.now -= 1

    def send(self, line, event):
        line.send(event)
        with self.lock:
            self.sent += 1

    def _about(self, body, line):
        self.send(line, {"kind": "about", "title": self.title})

    def _predictions(self, body, line):
        for row in range(self.rows):
            self.send(line, {"kind": "predictions", "rows": [{"index": row, "name": "ü" * self.width}]})
        self.send(line, {"kind": "done", "total": self.rows, "notes": []})

    def _thumbnails(self, body, line):
        if len(body.examples) > 200:
            raise InvalidValueError("examples are more than 200.")
        self.send(line, {"kind": "thumbnails", "items": [{"index": index} for index in body.examples]})

    def _export(self, body, line):
        self.send(line, {"kind": "file", "name": f"a.{body.form}", "type": "x", "base64": ""})

    def _integrated_gradients(self, body, line):
        self.send(line, {"kind": "prediction", "label": body.example})
        self.send(line, {"kind": "result", "title": body.method})

    def _waits(self, body, line):
        """Send one event and wait until nobody does any more."""
        self.send(line, {"kind": "prediction", "label": body.example})
        self._silent(body, line)

    def _silent(self, body, line):
        self.waiting.release()
        gone = threading.Event()
        for _ in range(int(PATIENCE * 100)):
            if line.cancelled():
                self.left.release()
                raise Cancelled("nobody waits")
            gone.wait(0.01)
        raise RuntimeError("was never cancelled")

    def _held(self, body, line):
        """Wait until the test lets it go on, like an evaluation that takes long."""
        self.waiting.release()
        self.go_on.wait(PATIENCE)
        self.send(line, {"kind": "result", "title": "held"})

    def _endless(self, body, line):
        """Send until nobody takes it."""
        try:
            while True:
                self.send(line, {"kind": "progress", "text": "x" * 10_000})
        except Cancelled:
            self.left.release()
            raise

    def _nothing(self, body, line):
        """Send no event at all."""

    def _refused(self, body, line):
        raise InvalidTypeError("example is odd.")

    def _late(self, body, line):
        self.send(line, {"kind": "prediction"})
        raise InvalidValueError("That came late.")

    def _crash(self, body, line):
        self.send(line, {"kind": "prediction"})
        raise ZeroDivisionError("the model divides by zero")

    def _crash_at_once(self, body, line):
        raise RuntimeError("broken \ud800 <b>")

    def _exit(self, body, line):
        raise SystemExit(3)

    def _infinite(self, body, line):
        self.send(line, {"kind": "result", "sum": float("inf")})

    def _unspeakable(self, body, line):
        raise UnspeakableError


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Heard:
    """Receives the events of one job."""

    def __init__(self):
        self.events, self.ends = [], []
        self.stopped, self.over = threading.Event(), threading.Event()

    def event(self, event):
        self.events.append(event)

    def stop(self):
        self.stopped.set()

    def end(self, error):
        self.ends.append(error)
        self.over.set()

    def wait(self):
        assert self.over.wait(PATIENCE)
        return self.events
