"""The server: the application on this computer's loopback address, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import secrets
import socket
import threading
import webbrowser
from types import TracebackType
from typing import Any, Self

import click
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pellucid.errors import invalid_type, invalid_value
from pellucid.insights.jobs import Answering, Jobs
from pellucid.insights.server.app import app_of

HOST = "127.0.0.1"


class Serving:
    """A desk that is open to browsers on this computer; ``with`` closes it at the end of the block.

    Attributes:
        port: where it listens.
        address: what to open; holds the token, without which nothing is answered.
    """

    def __init__(self, desk: Answering, listening: socket.socket) -> None:
        token = secrets.token_urlsafe(32)
        self.port: int = listening.getsockname()[1]
        self.address = f"http://{HOST}:{self.port}/?token={token}"
        self._jobs = Jobs(desk)
        self._server = _server(desk, token, self._jobs)
        self._thread = threading.Thread(target=self._run, args=(listening,), name="pellucid-server", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the server has ended; tells whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Cancel all answers, end the server and wait for it; later calls change nothing."""
        atexit.unregister(self.close)
        self._jobs.close()
        self._server.should_exit = True
        self._thread.join(10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "at" if self._thread.is_alive() else "closed, was at"
        return f"<Serving {state} {self.address}>"

    def _run(self, listening: socket.socket) -> None:
        with listening:
            asyncio.run(self._server.serve(sockets=[listening]))


def serve(desk: Answering, port: int | None = None, *, blocking: bool = True, open_browser: bool = False) -> Serving:
    """Open a desk to the browsers of this computer.

    Other computers cannot connect, and other users of this one do not know the token.

    Args:
        desk: what answers.
        port: where to listen; ``None`` or 0 takes a free one.
        blocking: print the address and return after Ctrl-C; otherwise return at once while a thread serves.
        open_browser: open the page too; its address, with the token, then stands in the browser's command line, which
            other users of this computer may be able to see.

    Returns:
        The server, closed already if ``blocking``.

    Raises:
        InvalidTypeError: if ``port`` is no integer.
        InvalidValueError: if ``port`` is no port, or cannot be listened at.
    """
    serving = Serving(desk, _listen(0 if port is None else port))
    if open_browser:
        webbrowser.open(serving.address)
    if blocking:
        click.echo(f"{desk.title} is at {serving.address}\nPress Ctrl-C to stop.")
        try:
            while not serving.wait(0.5):  # with an end, since waiting for good cannot be interrupted everywhere
                continue
        except KeyboardInterrupt:
            click.echo("Stopped.")
        finally:
            serving.close()
    return serving


def _listen(port: int) -> socket.socket:
    if not isinstance(port, int) or isinstance(port, bool):
        raise invalid_type("port", repr(port), "a port is an integer", "one from 1 to 65535, or None for a free one")
    if not 0 <= port <= 65535:
        raise invalid_value("port", str(port), "there is no such port", "one from 1 to 65535, or None for a free one")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = f"it cannot be listened at ({error.strerror})"
        raise invalid_value("port", str(port), why, "another port, or None for a free one") from None
    return listening


class _Quiet(H11Protocol):
    """HTTP without a log of requests: their addresses hold the token. An argument would change a logger of everyone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False


def _server(desk: Answering, token: str, jobs: Jobs) -> uvicorn.Server:
    """Configure the server: no files, no websockets, and nobody's logging or signals changed."""
    config = uvicorn.Config(
        app_of(desk, token, jobs),
        http=_Quiet,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)
