"""The web application, message by message: every status, header and rule of safety, order, and cancelling."""

import asyncio
import json
import re

import pytest
from starlette.applications import Starlette

from pellucid.insights.server import app as module
from pellucid.insights.server import app_of, safety
from pellucid.insights.server.safety import RefusedError
from tests.insights.asgi import TOKEN, ask, close, exchanged, headers, open_exchange
from tests.insights.fake_desk import PATIENCE, FakeDesk

PAGE = {"method": "GET", "chunks": [b""], "query": f"token={TOKEN}".encode()}


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def app(desk):
    made = app_of(desk, TOKEN)
    assert isinstance(made, Starlette)
    yield made
    desk.go_on.set()
    close(made)


def explain(method, example=0):
    return [json.dumps({"example": example, "method": method}).encode()]


def is_secured(found):
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["cross-origin-opener-policy"] == "same-origin"
    assert found.headers["cross-origin-resource-policy"] == "same-origin"
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["x-frame-options"] == "DENY"
    assert not [name for name in found.headers if name.startswith("access-control")]


def test_the_page_holds_the_token_and_a_nonce_of_its_own(app):
    found = [ask(app, "/", given=headers(origin=None), **PAGE) for _ in range(2)]
    nonces = [re.search(r"script-src 'nonce-([\w-]{20,})'", f.headers["content-security-policy"])[1] for f in found]
    assert nonces[0] != nonces[1]
    for page, nonce in zip(found, nonces, strict=True):
        is_secured(page)
        text = page.body.decode()
        assert page.status == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f'nonce="{nonce}"' in text
        start = re.search(r'<script type="application/json" id="pellucid-start"[^>]*>(.*?)</script>', text, re.DOTALL)
        assert json.loads(start[1]) == {"transport": "http", "token": TOKEN}
        assert "<title>A &lt;fake&gt; desk</title>" in text
        assert "connect-src 'self'" in page.headers["content-security-policy"]


def test_every_route_answers_in_lines(app):
    bodies = {
        "about": {},
        "predictions": {"model": 0},
        "thumbnails": {"examples": [3, 1]},
        "explain": {"example": 2},
        "export": {"question": {"example": 2}, "form": "svg"},
    }
    for route, body in bodies.items():
        found = ask(app, f"/api/{route}", chunks=[json.dumps(body).encode()])
        assert found.status == 200
        assert found.headers["content-type"] == "application/x-ndjson"
        assert found.body.endswith(b"\n")
        assert found.lines[0]["kind"] in {"about", "predictions", "thumbnails", "prediction", "file"}
        is_secured(found)


def test_events_come_in_order_and_none_is_lost(app, desk):
    found = ask(app, "/api/predictions")
    assert [line["rows"][0]["index"] for line in found.lines[:-1]] == list(range(desk.rows))
    assert found.lines[-1]["kind"] == "done"


def test_events_come_while_the_answer_goes_on(app, desk):
    async def main():
        async with open_exchange(app, "/api/explain", chunks=explain("waits", 5)) as exchange:
            await exchange.until(lambda e: e.body.count(b"\n") == 1)
            assert exchange.lines == [{"kind": "prediction", "label": 5}]
            assert not exchange.task.done()

    asyncio.run(main())


@pytest.mark.parametrize("method", ["waits", "silent", "endless"])
def test_leaving_cancels_the_work(app, desk, method):
    async def main():
        async with open_exchange(app, "/api/explain", chunks=explain(method)) as exchange:
            if method == "endless":
                await exchange.until(lambda e: len(e.body) > 100_000)
            else:
                assert await asyncio.to_thread(desk.waiting.acquire, timeout=PATIENCE)
            exchange.leave()
            assert await asyncio.to_thread(desk.left.acquire, timeout=PATIENCE)

    asyncio.run(main())


def test_more_of_the_question_is_no_leaving(app, desk):
    async def main():
        async with open_exchange(app, "/api/explain", chunks=explain("held")) as exchange:
            assert await asyncio.to_thread(desk.waiting.acquire, timeout=PATIENCE)
            exchange.arrive(b"")
            await asyncio.sleep(0.02)
            desk.go_on.set()
            await exchange.until(lambda e: e.complete)
        assert [line["kind"] for line in exchange.lines] == ["result"]

    asyncio.run(main())


def test_leaving_while_waiting_for_a_worker_withdraws_the_question(app, desk):
    async def main():
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(exchanged(app, "/api/explain", chunks=explain("held"))) for _ in range(3)]
            for _ in held:
                assert await asyncio.to_thread(desk.waiting.acquire, timeout=PATIENCE)
            async with open_exchange(app, "/api/explain", chunks=explain("nothing", 77)) as exchange:
                await asyncio.sleep(0.05)
                exchange.leave()
            desk.go_on.set()
        assert {task.result().status for task in held} == {200}

    asyncio.run(main())
    assert 77 not in [body.example for _, body in desk.asked]


def test_leaving_before_the_question_is_whole_asks_nothing(app, desk):
    async def main():
        async with open_exchange(app, "/api/about", chunks=[]) as exchange:
            exchange.arrive(b"{", more=True)
            exchange.leave()
        assert exchange.starts == 0

    asyncio.run(main())
    assert desk.asked == []


def test_two_clients_hear_their_own_answers(app, desk):
    async def main():
        asked = [exchanged(app, "/api/explain", chunks=explain("integrated_gradients", n)) for n in range(30)]
        rows = [exchanged(app, "/api/predictions") for _ in range(5)]
        found = await asyncio.gather(*asked, *rows)
        for number, one in enumerate(found[:30]):
            assert one.lines[0] == {"kind": "prediction", "label": number}
        for one in found[30:]:
            assert len(one.lines) == desk.rows + 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "status", "kinds"),
    [
        ("nothing", 200, []),
        ("late", 200, ["prediction", "error"]),
        ("crash", 200, ["prediction", "error"]),
        ("crash_at_once", 200, ["error"]),
        ("exit", 200, ["error"]),
        ("infinite", 200, ["error"]),
    ],
)
def test_failures_come_as_events(app, method, status, kinds):
    found = ask(app, "/api/explain", chunks=explain(method))
    assert found.status == status
    assert [line["kind"] for line in found.lines] == kinds
    is_secured(found)


def test_an_error_without_words_is_still_told(app):
    found = ask(app, "/api/explain", chunks=explain("unspeakable"))
    assert found.status == 503
    assert found.message == "no words"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("explain", b'{"example": 0, "method": "refused"}', "example is odd"),
        ("thumbnails", json.dumps({"examples": [0] * 201}).encode(), "more than 200"),
        ("explain", b"{}", "example: Field required"),
        ("explain", b'{"example": "0"}', "integer"),
        ("explain", b'{"example": true}', "integer"),
        ("explain", b'{"example": 0, "other": 1}', "other"),
        ("explain", b'{"example": 0, "edits": [{"feature": 0, "values": [NaN]}]}', "finite"),
        ("about", b"", "JSON"),
        ("about", b"\xff\xfe{}", "JSON"),
        ("about", b"[" * 100_000, "JSON"),
        ("about", b'{"a":' * 20_000, "JSON"),
        ("predictions", b'{"model": ' + b"9" * 10_000 + b"}", ""),
        ("predictions", b'{"model": 1e999}', ""),
        ("explain", b'{"example": 0, "layer": "\\ud800"}', "JSON"),
        ("about", b"null", "object"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(app, path, body, words):
    found = ask(app, f"/api/{path}", chunks=[body])
    assert found.status == 422
    assert words in found.message
    is_secured(found)


@pytest.mark.parametrize(
    "host",
    [
        *("example.org", "127.0.0.1.example.org", "localhost.example.org", "evil@127.0.0.1", "127.0.0.1@evil"),
        *(
            "127.1",
            "0",
            "0.0.0.0",
            "2130706433",
            "0x7f.0.0.1",
            "127.0.0.01",
            "127.0.0.2",
            "[::]",
            "::1",
            "[::ffff:127.0.0.1]",
        ),
        *("localhost.", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456", "127.0.0.1:80:80", "", "127.0.0.1, localhost"),
        *("http://127.0.0.1", "127.0.0.1/", "127.0.0.1\n", "\uff11127.0.0.1".encode().decode("latin-1"), None),
        [b"127.0.0.1", b"127.0.0.1"],
    ],
)
def test_foreign_and_odd_hosts_are_refused(app, desk, host):
    found = ask(app, "/api/about", given=headers(host=host, origin=None))
    assert found.status == 403
    assert ask(app, "/", given=headers(host=host, origin=None), **PAGE).status == 403
    assert ask(app, "/nowhere", given=headers(host=host, origin=None)).status == 403
    is_secured(found)
    assert desk.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:65535", "[::1]:80", "[::1]"])
def test_hosts_of_this_computer_are_answered(app, host):
    assert ask(app, "/api/about", given=headers(host=host, origin=f"http://{host}")).status == 200
    assert ask(app, "/api/about", given=headers(host=host, origin=None)).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://example.org", "null", "", "http://127.0.0.1:8124", "https://127.0.0.1:8123", "http://localhost:8123"),
        *("127.0.0.1:8123", "http://127.0.0.1:8123/", "http://127.0.0.1:8123 http://example.org"),
        [b"http://127.0.0.1:8123", b"http://example.org"],
    ],
)
def test_foreign_origins_are_refused(app, desk, origin):
    found = ask(app, "/api/about", given=headers(origin=origin))
    assert found.status == 403
    assert ask(app, "/", given=headers(origin=origin), **PAGE).status == 403
    assert desk.asked == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "odd"])
def test_questions_of_other_sites_are_refused(app, site):
    assert ask(app, "/api/about", given=headers(sec_fetch_site=site)).status == 403
    assert ask(app, "/api/about", given=headers(sec_fetch_site=site, origin=None)).status == 403
    assert ask(app, "/api/about", given=headers(sec_fetch_site="same-origin")).status == 200


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("none", "navigate", "document", 200),
        ("same-origin", "navigate", "document", 200),
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("cross-site", "no-cors", "script", 403),
        ("cross-site", "cors", "empty", 403),
        ("cross-site", None, None, 403),
    ],
)
def test_links_open_the_page_and_other_sites_cannot_embed_it(app, site, mode, dest, status):
    given = headers(origin=None, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest)
    assert ask(app, "/", given=given, **PAGE).status == status


@pytest.mark.parametrize(
    "token",
    [None, "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe9", f" {TOKEN}", [TOKEN.encode(), TOKEN.encode()]],
)
def test_questions_need_the_token(app, desk, token):
    found = ask(app, "/api/about", given=headers(x_pellucid_token=token), query=PAGE["query"])
    assert found.status == 401
    assert TOKEN not in found.body.decode()
    assert desk.asked == []
    is_secured(found)


@pytest.mark.parametrize(
    "query",
    [
        *(b"", b"token=", b"token=wrong", b"Token=" + TOKEN.encode(), b"token=" + TOKEN.encode() * 2),
        *(b"token=%C3%A9", b"token=%FF", b"\xff=\xfe", b"token", b"&" * 5000, b"a=1&" * 50 + PAGE["query"]),
        PAGE["query"] + b"&" + PAGE["query"],
    ],
)
def test_the_page_needs_the_token(app, query):
    found = ask(app, "/", method="GET", chunks=[b""], query=query)
    assert found.status == 401
    assert TOKEN not in found.body.decode()
    is_secured(found)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nowhere",
            "//",
            "/api",
            "/api/",
            "/api/about/",
            "/api//about",
            "/api/about/x",
            "/API/about",
            "/favicon.ico",
        ),
        *("/api/..", "/../etc/passwd", "/api/../../etc/passwd", "/docs", "/openapi.json", "/static/app.css", "", "*"),
        *("/api/constructor", "/api/__class__", "/api/about\x00", "/api/\xfcber"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_is_nothing_else(app, desk, path, method):
    found = ask(app, path, method=method, query=PAGE["query"])
    assert found.status in ({404} if method == "POST" else {404, 405})
    assert found.message
    assert "location" not in found.headers
    is_secured(found)
    assert desk.asked == []


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "ODD", "post"]
)
def test_questions_are_posted(app, desk, method):
    found = ask(app, "/api/about", method=method)
    assert found.status == 405
    assert found.headers["allow"] == "POST"
    assert method in found.message
    assert desk.asked == []
    is_secured(found)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_page_is_only_got(app, method):
    found = ask(app, "/", **{**PAGE, "method": method})
    assert found.status == 405
    is_secured(found)
    assert ask(app, "/", **{**PAGE, "method": "HEAD"}).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"),
        *("application/json; charset=utf-16", "application/json, text/plain", "text/plain; application/json"),
        [b"application/json", b"text/plain"],
    ],
)
def test_questions_are_json(app, kind):
    found = ask(app, "/api/about", given=headers(content_type=kind))
    assert found.status == 415
    is_secured(found)


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"'],
)
def test_json_may_be_named_in_full(app, kind):
    assert ask(app, "/api/about", given=headers(content_type=kind)).status == 200


def test_compressed_questions_are_refused(app):
    assert ask(app, "/api/about", given=headers(content_encoding="gzip")).status == 415


def test_long_questions_are_refused_by_their_length(app):
    for length in (safety.BODY_LIMIT + 1, 10**30, "9" * 5000):
        found = ask(app, "/api/about", given=headers(content_length=str(length)))
        assert found.status == 413
        is_secured(found)
    for length in (str(safety.BODY_LIMIT), "2", "-1", "x"):
        assert ask(app, "/api/about", given=headers(content_length=length)).status == 200


def test_long_questions_are_counted_while_they_come(app, desk):
    room = safety.BODY_LIMIT - 2
    exact = [b"{", *[b" " * 1024] * (room // 1024), b" " * (room % 1024), b"}"]
    assert ask(app, "/api/about", chunks=exact).status == 200
    assert ask(app, "/api/about", chunks=[*exact, b" "]).status == 413
    assert ask(app, "/api/about", chunks=[b"{"] + [b" " * 4096] * (safety.BODY_LIMIT // 4096 + 1)).status == 413
    assert len(desk.asked) == 1


def test_a_question_that_does_not_arrive_is_given_up(app, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def main():
        async with open_exchange(app, "/api/about", chunks=[]) as exchange:
            exchange.arrive(b"{", more=True)
            await exchange.until(lambda e: e.complete)
        assert exchange.status == 408
        is_secured(exchange)

    asyncio.run(main())


def test_too_many_questions_are_put_off(app, desk):
    async def main():
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(exchanged(app, "/api/explain", chunks=explain("held"))) for _ in range(40)]
            busy = []
            while len(busy) < 5:
                busy = [task.result() for task in asked if task.done()]
                await asyncio.sleep(0.01)
            desk.go_on.set()
        for one in busy:
            assert one.status == 503
            assert "Ask again" in one.message
            is_secured(one)
        assert sorted(task.result().status for task in asked) == [200] * 35 + [503] * 5

    asyncio.run(main())


def test_the_end_of_the_application_ends_the_answers(desk):
    app = app_of(desk, TOKEN)

    async def main():
        async with app.router.lifespan_context(app):
            begun = asyncio.create_task(exchanged(app, "/api/explain", chunks=explain("waits")))
            silent = asyncio.create_task(exchanged(app, "/api/explain", chunks=explain("silent")))
            for _ in range(2):
                assert await asyncio.to_thread(desk.waiting.acquire, timeout=PATIENCE)
        begun, silent = await begun, await silent
        assert [line["kind"] for line in begun.lines] == ["prediction", "error"]
        assert silent.status == 503
        assert (await exchanged(app, "/api/about")).status == 503

    asyncio.run(main())


def test_a_mistake_of_ours_is_no_dead_connection(app, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "read_body", broken)

    async def main():
        async with open_exchange(app, "/api/about") as exchange:
            await exchange.until(lambda e: e.complete)
            assert exchange.status == 500
            assert "ZeroDivisionError" in exchange.message
            is_secured(exchange)

    with pytest.raises(ZeroDivisionError):  # which the server logs
        asyncio.run(main())


def test_websockets_are_refused(app):
    sent = []

    async def main():
        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await app({"type": "websocket", "path": "/api/about", "headers": headers(), "query_string": b""}, receive, send)

    asyncio.run(main())
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_tokens_are_compared_whole():
    safety.check_token([b"t\xc3\xb6"], "tö")
    for given in ([], [b""], [b"t"], [b"t\xf6"], [b"t\xc3\xb6"] * 2):
        with pytest.raises(RefusedError) as refused:
            safety.check_token(given, "tö")
        assert refused.value.status == 401
