"""The web application: one page, and one POST per route of the desk that streams the events of an answer.

Layers from the outside in: ``Guard`` decides who may ask at all and puts the headers of safety on every answer;
Starlette finds the route; ``Answers`` reads the question, lets it run and passes its events on as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.errors import PellucidError
from pellucid.insights import bundle
from pellucid.insights.asking import BODIES
from pellucid.insights.jobs import Answering, BusyError, Jobs, encode
from pellucid.insights.line import failure
from pellucid.insights.reading import read_body
from pellucid.insights.server import safety
from pellucid.insights.server.channel import Channel
from pellucid.insights.server.safety import RefusedError

PATIENCE = 30.0
"""Seconds in which the body of a question must have arrived."""


def app_of(desk: Answering, token: str, jobs: Jobs | None = None) -> Starlette:
    """Make the application in which a desk answers.

    Args:
        desk: what answers.
        token: a secret that every request must know.
        jobs: where the answers run; by default a pool of their own, which ends with the application's lifespan.

    Returns:
        An ASGI application; ``serve`` runs it on this computer only.
    """
    pool = Jobs(desk) if jobs is None else jobs

    async def page(request: Request) -> Response:
        del request
        nonce = secrets.token_urlsafe(16)
        text = bundle.page({"transport": "http", "token": token}, title=desk.title, nonce=nonce)
        return HTMLResponse(text, headers={"Content-Security-Policy": safety.page_policy(nonce)})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        await asyncio.to_thread(pool.close)

    app = Starlette(
        routes=[Route("/", page, methods=["GET"]), Route("/api/{route}", Answers(pool), methods=["POST"])],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={HTTPException: _no_route, Exception: _crashed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Guard:
    """Lets requests through that come from the page and know the token, and secures every answer.

    Args:
        app: what is guarded.
        token: the secret.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in safety.SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            safety.check_address(scope["headers"])
            if scope["path"] == "/":
                safety.check_token(safety.token_of_page(scope["query_string"]), self._token)
            elif scope["path"].startswith("/api/"):
                safety.check_token(safety.token_of_question(scope["headers"]), self._token)
            await self._app(scope, receive, secured)
        except RefusedError as refused:
            await _refusal(refused.status, refused.message)(scope, receive, secured)


class Answers:
    """``POST /api/<route>``: an answer's events as lines of JSON.

    The status is decided by the first event: what cannot be asked has none and is refused. Whoever leaves before the
    end cancels the work.

    Args:
        jobs: where the answers run.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        route = scope["path_params"]["route"]
        if route not in BODIES:
            raise RefusedError(404, f"There is no such question. The questions are {', '.join(BODIES)}.")
        safety.check_content(scope["headers"])
        content = await _content(receive)
        if content is None:
            return
        channel = Channel(asyncio.get_running_loop())
        try:
            job = self._jobs.start(route, read_body(route, content), channel)
        except BusyError as error:
            raise RefusedError(503, str(error)) from None
        except PellucidError as error:
            raise RefusedError(422, str(error)) from None
        async with _whenever_gone(receive, lambda: self._jobs.cancel(job)):
            await _stream(channel, send)


async def _stream(channel: Channel, send: Send) -> None:
    lines = await channel.read()
    if not lines and channel.error is not None:
        raise RefusedError(422 if isinstance(channel.error, PellucidError) else 503, str(channel.error))
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while lines:
        await send({"type": "http.response.body", "body": lines, "more_body": True})
        lines = await channel.read()
    last = b"" if channel.error is None else f"{encode(failure(channel.error))}\n".encode("ascii")
    await send({"type": "http.response.body", "body": last, "more_body": False})


async def _content(receive: Receive) -> bytes | None:
    """Return the body of a request, counted while it comes; ``None`` if the client left."""
    parts, length = [], 0
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                length += len(parts[-1])
                if length > safety.BODY_LIMIT:
                    raise safety.too_long()
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RefusedError(408, f"The question did not arrive within {PATIENCE:.0f} seconds.") from None


@contextlib.asynccontextmanager
async def _whenever_gone(receive: Receive, call: Callable[[], None]) -> AsyncIterator[None]:
    """Call once the client leaves, or the block does."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        call()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        call()


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"message": message}, status, {**safety.SECURITY, **(headers or {})})


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {404: "There is nothing at this address.", 405: f"{request.method} is not answered here."}
    allowed = error.headers if isinstance(error, HTTPException) else None
    return _refusal(status, known.get(status, "The request cannot be answered."), dict(allowed or {}))


async def _crashed(request: Request, error: Exception) -> Response:
    del request
    return _refusal(500, f"The server failed, which is a mistake in Pellucid: {type(error).__name__}.")
