"""The way of an answer's events from its worker thread to the event loop of the server."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

from pellucid.insights.jobs import encode
from pellucid.insights.line import Cancelled

ROOM = 16
"""Events that may lie ready before the thread waits."""
PATIENCE = 60.0
"""Seconds that a thread waits for a reader who takes nothing; then it is free for others."""


class Channel:
    """Receives the events of one job (see `Receiver`) and lets one coroutine read them.

    Few events lie ready at a time: a slow reader makes the thread wait, and one who reads nothing at all loses it.

    Args:
        loop: where ``read`` is awaited.
        room: number of events that may lie ready.
        patience: seconds that the thread waits for room.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, room: int = ROOM, patience: float = PATIENCE) -> None:
        self.error: Exception | None = None
        self._loop, self._room, self._patience = loop, room, patience
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._ended = self._stopped = False
        self._ready = asyncio.Event()

    def event(self, event: dict[str, Any]) -> None:
        """Take an event, as soon as there is room."""
        line = encode(event) + "\n"
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._lines) < self._room, timeout=self._patience)
            if self._stopped or len(self._lines) >= self._room:
                raise Cancelled("The answer was not read.")
            self._lines.append(line)
        if not self._wake():
            raise Cancelled("The server has ended.")

    def stop(self) -> None:
        """Let neither the thread nor the reader wait any longer."""
        with self._changed:
            self._stopped = True
            self.error = self.error or Cancelled("The answer was stopped.")
            self._changed.notify_all()
        self._wake()

    def end(self, error: Exception | None) -> None:
        """Take the end; what was sent before it can still be read."""
        with self._changed:
            self._ended = True
            self.error = self.error or error
        self._wake()

    async def read(self) -> bytes:
        """Wait for events, and return all that lie ready as lines; nothing once the answer has ended or was stopped."""
        while True:
            with self._changed:
                if self._lines:
                    lines = "".join(self._lines)
                    self._lines.clear()
                    self._changed.notify_all()
                    return lines.encode("ascii")
                if self._ended or self._stopped:
                    return b""
                self._ready.clear()
            await self._ready.wait()

    def _wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop is closed, and with it whoever read
            return False
        return True
