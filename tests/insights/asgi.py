"""One request to an ASGI application, with a hand on every message of it."""

import asyncio
import json
from contextlib import asynccontextmanager

TOKEN = "a-secret-for-tests"
HOST = b"127.0.0.1:8123"
HEADERS = {
    b"host": HOST,
    b"origin": b"http://" + HOST,
    b"content-type": b"application/json",
    b"x-pellucid-token": TOKEN.encode(),
}


def headers(**changed):
    """Headers of a good question; ``None`` leaves one out, a list sends it several times."""
    named = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    pairs = []
    for name, value in {**HEADERS, **named}.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(name, v if isinstance(v, bytes) else v.encode("latin-1")) for v in values if v is not None]
    return pairs


class Exchange:
    """A request under way; ``leave`` is what a closed browser does."""

    def __init__(self, chunks):
        self.status, self.headers, self.body, self.starts, self.complete = None, {}, b"", 0, False
        self._incoming = asyncio.Queue()
        for place, chunk in enumerate(chunks):
            self.arrive(chunk, more=place + 1 < len(chunks))
        self.changed = asyncio.Condition()

    def arrive(self, chunk, more=False):
        self._incoming.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def leave(self):
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def receive(self):
        return await self._incoming.get()

    async def send(self, message):
        async with self.changed:
            if message["type"] == "http.response.start":
                self.starts += 1
                self.status = message["status"]
                self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                self.body += message.get("body", b"")
                self.complete = not message.get("more_body", False)
            self.changed.notify_all()

    async def until(self, true):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: true(self)), 30)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def message(self):
        assert self.headers["content-type"] == "application/json"
        assert set(json.loads(self.body)) == {"message"}
        return json.loads(self.body)["message"]


@asynccontextmanager
async def open_exchange(app, path, *, method="POST", chunks=(b"{}",), query=b"", given=None):
    exchange = Exchange(chunks)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers() if given is None else given,
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 8123),
    }
    task = asyncio.create_task(app(scope, exchange.receive, exchange.send))
    exchange.task = task
    try:
        yield exchange
    finally:
        if not task.done():
            exchange.leave()
        await asyncio.wait_for(task, 30)


async def exchanged(app, path, **options):
    """The whole of one request and its answer."""
    async with open_exchange(app, path, **options) as exchange:
        await asyncio.wait_for(asyncio.shield(exchange.task), 30)
    assert exchange.starts == 1
    assert exchange.complete
    return exchange


def close(app):
    """End an application as a server does."""

    async def end():
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(end())


def ask(app, path, **options):
    return asyncio.run(exchanged(app, path, **options))
