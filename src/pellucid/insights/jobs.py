"""Answers of a desk in a few worker threads, for the server and for the notebook alike.

A **job** is one question on its way through ``Desk.answer``. Its **receiver** is the transport's side: it takes events
from the worker thread, and hears exactly once that the answer has ended. What cannot be asked ends as the desk's error;
what goes wrong otherwise arrives as an event, so that a page never waits for an answer that has died.
"""

from __future__ import annotations

import atexit
import contextvars
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pellucid.errors import PellucidError
from pellucid.insights.line import Cancelled, Line, failure

logger = logging.getLogger(__name__)

LINGER = 10.0
"""Seconds that a thread without work stays, so that the next question need not start one."""


class BusyError(PellucidError, RuntimeError):
    """Too many questions wait already, or no more are taken."""


class Answering(Protocol):
    """What answers questions: a desk."""

    @property
    def title(self) -> str:
        """What the page is called."""

    def answer(self, route: str, body: Any, line: Line) -> None:
        """Send the events of an answer, from a worker thread."""


class Receiver(Protocol):
    """Where the events of one answer go. ``event`` and ``end`` are called in worker threads."""

    def event(self, event: dict[str, Any]) -> None:
        """Take an event; wait while there is no room, and raise ``Cancelled`` once stopped."""

    def stop(self) -> None:
        """Hear that the job was cancelled: nobody waits in ``event`` any longer."""

    def end(self, error: Exception | None) -> None:
        """Hear that nothing follows: ``None``, the desk's refusal, or ``Cancelled``."""


@dataclass(frozen=True, eq=False)
class Job:
    """One question on its way; `Jobs.start` makes them.

    Attributes:
        route: a key of ``BODIES``.
        body: its dataclass.
        receiver: where the events go.
        context: context of the one who asked; notebooks tell by it which message an output belongs to.
        cancelled: set once nobody waits any more.
    """

    route: str
    body: Any
    receiver: Receiver
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    cancelled: threading.Event = field(default_factory=threading.Event)


def encode(event: Mapping[str, Any]) -> str:
    r"""Write an event as one line of JSON, ASCII only.

    Example:
        >>> encode({"kind": "done", "notes": ["ä"]})
        '{"kind":"done","notes":["\\u00e4"]}'

    Args:
        event: JSON values.

    Returns:
        The line, without its end.

    Raises:
        ValueError: if a number is not finite.
        TypeError: if a value is none of JSON's.
    """
    return json.dumps(event, allow_nan=False, separators=(",", ":"))


class Jobs:
    """Runs answers in at most ``workers`` threads; at most ``waiting`` further questions wait.

    The threads are daemons, start when there is work and leave when there is none. Events of one job arrive in the
    order in which they were sent; jobs do not wait for each other unless all workers have work.

    Example:
        >>> class Desk:
        ...     title = "Numbers"
        ...     def answer(self, route, body, line):
        ...         line.send({"kind": "progress", "done": 1})
        >>> class Printing:
        ...     ended = threading.Event()
        ...     def event(self, event): print(event)
        ...     def stop(self): pass
        ...     def end(self, error): self.ended.set()
        >>> jobs, receiver = Jobs(Desk()), Printing()
        >>> job = jobs.start("about", None, receiver)
        >>> receiver.ended.wait(60) and jobs.close()
        {'kind': 'progress', 'done': 1}

    Args:
        desk: what answers.
        workers: number of answers at a time.
        waiting: number of questions that may wait for a worker.
    """

    def __init__(self, desk: Answering, workers: int = 3, waiting: int = 32) -> None:
        self.desk = desk
        self._workers, self._waiting = workers, waiting
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False
        atexit.register(self.close)

    def start(self, route: str, body: Any, receiver: Receiver) -> Job:
        """Let a question be answered.

        Args:
            route: a key of ``BODIES``.
            body: its dataclass.
            receiver: where the events go.

        Returns:
            What ``cancel`` takes.

        Raises:
            BusyError: if too many questions wait, or after ``close``; the receiver then hears nothing.
        """
        job = Job(route, body, receiver)
        with self._changed:
            if self._closed:
                raise BusyError("No more questions are answered: this was closed in Python.")
            if len(self._queue) + len(self._running) >= self._workers + self._waiting:
                raise BusyError(f"{self._waiting} questions wait for their answers already. Ask again in a moment.")
            if len(self._queue) >= self._idle and len(self._threads) < self._workers:
                thread = threading.Thread(target=self._work, name="pellucid-insights", daemon=True)
                thread.start()
                self._threads.add(thread)
            self._queue.append(job)
            self._changed.notify()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job, waiting or at work; its receiver hears that it has ended. A job that has ended stays as it is."""
        with self._changed:
            waits, works = job in self._queue, job in self._running
            if waits:
                self._queue.remove(job)
            if waits or works:
                job.cancelled.set()
        if waits or works:
            job.receiver.stop()
        if waits:
            _end(job, Cancelled("The question was cancelled."))

    def close(self, patience: float = 2.0) -> None:
        """Cancel everything and take no more; wait at most ``patience`` seconds for the threads."""
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            jobs, threads = [*self._queue, *self._running], list(self._threads)
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        until = time.monotonic() + patience
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (job := self._next()) is not None:
            error = job.context.run(_answered, self.desk, job)
            with self._changed:
                self._running.discard(job)
            _end(job, error)

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue or self._closed, timeout=LINGER)
            self._idle -= 1
            if not self._queue:
                self._threads.discard(threading.current_thread())
                return None
            job = self._queue.popleft()
            self._running.add(job)
            return job


def _answered(desk: Answering, job: Job) -> Exception | None:
    """Run a job to its end; returns what its receiver hears there."""
    sent = 0

    def send(event: dict[str, Any]) -> None:
        nonlocal sent
        if job.cancelled.is_set():
            raise Cancelled("The question was cancelled.")
        job.receiver.event(event)
        sent += 1

    try:
        desk.answer(job.route, job.body, Line(send, job.cancelled.is_set))
    except Cancelled as error:
        return error
    except BaseException as error:  # also a model that calls sys.exit()
        if isinstance(error, PellucidError) and not sent:
            return error
        logger.exception("An answer to %r was not completed.", job.route)
        try:
            send(failure(error))
        except Exception as untold:  # whoever takes no events hears the end at least
            return untold
    return None


def _end(job: Job, error: Exception | None) -> None:
    try:
        job.receiver.end(error)
    except Exception:
        logger.exception("The end of an answer to %r could not be told.", job.route)
