"""Whatever is sent: never a failure of the server, and the status that a second reading of the question gives."""

import asyncio
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.insights.asking import BODIES
from pellucid.insights.server import app_of
from tests.insights.asgi import HOST, TOKEN, ask, close, exchanged, headers, open_exchange
from tests.insights.fake_desk import FakeDesk

settings.register_profile("server", deadline=None, max_examples=80, derandomize=True, database=None)
QUICK = settings.get_profile("server")

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
routes = st.sampled_from(sorted(BODIES))


def strategy(hint):
    """Values of a type, as Python holds them."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        required = {f.name: strategy(hints[f.name]) for f in fields(hint) if is_required(f)}
        optional = {f.name: strategy(hints[f.name]) for f in fields(hint) if not is_required(f)}
        return st.fixed_dictionaries(required, optional=optional).map(lambda chosen: hint(**chosen))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*[strategy(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), values, max_size=3)
    return {
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(max_size=10).filter(lambda text: not hasattr(FakeDesk, f"_{text}")),
        types.NoneType: st.none(),
    }[hint]


def fits(hint, value):
    """Whether a JSON value is one of a type: nothing converted, nothing unknown, nothing missing."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        known = {f.name: hints[f.name] for f in fields(hint)}
        return (
            isinstance(value, dict)
            and value.keys() <= known.keys()
            and value.keys() >= {f.name for f in fields(hint) if is_required(f)}
            and all(fits(known[name], inner) for name, inner in value.items())
        )
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin in (Union, types.UnionType):
        return any(fits(argument, value) for argument in arguments)
    if origin is tuple:
        return isinstance(value, list) and all(fits(arguments[0], inner) for inner in value)
    if origin is Mapping:
        return isinstance(value, dict)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return type(value) is hint


def is_required(field):
    return field.default is MISSING and field.default_factory is MISSING


def lists(value):
    """JSON knows no tuples."""
    return json.loads(json.dumps(value))


@st.composite
def mutated(draw):
    """A good question in which some place was changed, and its route."""
    route = draw(routes)
    body = lists(asdict(draw(strategy(BODIES[route]))))
    for _ in range(draw(st.integers(1, 2))):
        place, key = {"": body}, ""
        while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 3)):
            place = place[key]
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "remove" and isinstance(place, dict) and key != "":
            del place[key]
        elif change == "add" and isinstance(place[key], dict):
            place[key][draw(st.text(max_size=5))] = draw(values)
        else:
            changed = draw(values)
            if place.keys() == {""} if isinstance(place, dict) else False:
                body = changed
            else:
                place[key] = changed
    return route, body


@pytest.fixture(scope="module")
def desk():
    return FakeDesk(rows=3)


@pytest.fixture(scope="module")
def app(desk):
    made = app_of(desk, TOKEN)
    yield made
    close(made)


def sent(app, route, body, **options):
    return ask(app, f"/api/{route}", chunks=[body], **options)


@settings(QUICK)
@given(data=st.data(), route=routes)
def test_good_questions_reach_the_desk_unchanged(app, desk, data, route):
    body = data.draw(strategy(BODIES[route]))
    found = sent(app, route, json.dumps(asdict(body)).encode())
    assert found.status == 200
    assert found.lines
    assert desk.asked[-1] == (route, body)


@settings(QUICK, max_examples=200)
@given(mutated())
def test_changed_questions_are_refused_exactly_where_they_do_not_fit(app, desk, changed):
    route, body = changed
    before = len(desk.asked)
    found = sent(app, route, json.dumps(body).encode())
    if fits(BODIES[route], body):
        assert found.status == 200
        assert found.lines
    else:
        assert found.status == 422
        assert "cannot be read" in found.message
        assert len(desk.asked) == before


@settings(QUICK, max_examples=200)
@given(
    routes,
    st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789eE+-.truefalsn \\u', max_size=40).map(str.encode),
)
def test_any_bytes_are_read_or_refused(app, route, content):
    found = sent(app, route, content)
    try:
        good = fits(BODIES[route], json.loads(content.decode()))
    except ValueError:
        good = False
    assert found.status == (200 if good else 422)


@settings(QUICK)
@given(
    routes, st.sampled_from(["[", '{"a":', '{"arguments":{"a":', '{"edits":[']), st.integers(1, 20_000), st.booleans()
)
def test_no_depth_is_too_deep(app, route, part, depth, closed):
    tail = "".join({"[": "]", "{": "}"}[c] for c in reversed(part * depth) if c in "[{") if closed else ""
    found = sent(app, route, (part * depth + "0" * closed + tail).encode())
    assert found.status == 422
    assert len(found.body) < 5000


@settings(QUICK)
@given(
    st.integers(1, 6000),
    st.sampled_from(["", "-", "1.", "1e", "1e-", "-0."]),
    st.sampled_from(["example", "model", "target"]),
)
def test_no_number_is_too_large(app, digits, start, name):
    body = f'{{"example": 0, "{name}": {start}{"9" * digits}}}'
    assert sent(app, "explain", body.encode()).status in {200, 422}


@settings(QUICK)
@given(st.lists(st.binary(max_size=10), min_size=1, max_size=6), routes)
def test_how_a_question_is_cut_does_not_matter(app, chunks, route):
    whole = sent(app, route, b"".join(chunks))
    assert ask(app, f"/api/{route}", chunks=chunks).status == whole.status


NAMES = ["host", "origin", "content-type", "content-length", "content-encoding", "x-pellucid-token", "sec-fetch-site"]
NAMES += ["sec-fetch-mode", "sec-fetch-dest", "transfer-encoding", "cookie", "accept", "x-forwarded-host", "forwarded"]
KNOWN = [
    HOST,
    b"http://" + HOST,
    TOKEN.encode(),
    b"application/json",
    b"example.org",
    b"same-origin",
    b"cross-site",
    b"null",
]
KNOWN += [b"navigate", b"document", b"localhost", b"127.0.0.1", b"9999999999", b"gzip", b"", b"token=" + TOKEN.encode()]
header = st.tuples(
    st.sampled_from(NAMES).map(str.encode) | st.binary(max_size=8).map(bytes.lower),
    st.sampled_from(KNOWN) | st.binary(max_size=20),
)
STATUSES = {200, 401, 403, 404, 405, 413, 415, 422}


@settings(QUICK, max_examples=300)
@given(
    more=st.lists(header, max_size=4),
    dropped=st.sets(st.sampled_from(NAMES), max_size=2),
    method=st.sampled_from(["POST", "GET", "HEAD", "PUT", "OPTIONS", "DELETE"]) | st.text(max_size=6),
    path=st.sampled_from(["/", "/api/about", "/api/explain", "//", "/api/"]) | st.text(max_size=12).map("/{}".format),
    query=st.sampled_from([b"", b"token=" + TOKEN.encode()]) | st.binary(max_size=20),
)
def test_only_who_may_ask_is_answered(app, desk, more, dropped, method, path, query):
    kept = [(name, value) for name, value in headers() if name.decode() not in dropped] + more
    before = len(desk.asked)
    found = ask(app, path, method=method, given=kept, query=query, chunks=[b"{}"])
    named = {name: [v for n, v in kept if n == name] for name, _ in kept}
    assert found.status in STATUSES
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "location" not in found.headers
    if found.status >= 400:
        assert found.message
        assert TOKEN not in found.body.decode()
    if len(desk.asked) > before:
        assert method == "POST"
        assert path == "/api/about"
        assert named[b"x-pellucid-token"] == [TOKEN.encode()]
        assert named[b"host"][0] in {HOST, b"localhost", b"127.0.0.1"}
        assert named.get(b"origin", []) in ([], [b"http://" + named[b"host"][0]])
        assert named.get(b"sec-fetch-site", []) in ([], [b"same-origin"])
    if b"<!doctype html>" in found.body.lower():
        assert query == b"token=" + TOKEN.encode(), found.body


@settings(QUICK, max_examples=30)
@given(
    st.lists(
        st.sampled_from(["usual", "rows", "crash", "refused", "leave", "leave early", "torn"]), min_size=2, max_size=16
    )
)
def test_nobody_disturbs_the_others(kinds):
    desk = FakeDesk(rows=25)
    app = app_of(desk, TOKEN)

    def question(number, method):
        return [json.dumps({"example": number, "method": method}).encode()]

    async def one(number, kind):
        if kind == "rows":
            found = await exchanged(app, "/api/predictions")
            assert [line["rows"][0]["index"] for line in found.lines[:-1]] == list(range(25))
        elif kind in {"usual", "crash", "refused"}:
            found = await exchanged(app, "/api/explain", chunks=question(number, kind))
            assert found.status == (422 if kind == "refused" else 200)
            if kind == "usual":
                assert found.lines[0]["label"] == number
                assert found.lines[1]["kind"] == "result"
            if kind == "crash":
                assert [line["kind"] for line in found.lines] == ["prediction", "error"]
        elif kind == "torn":
            async with open_exchange(app, "/api/about", chunks=[b"{"]) as exchange:
                exchange.leave()
        else:
            async with open_exchange(app, "/api/explain", chunks=question(number, "waits")) as exchange:
                if kind == "leave":
                    await exchange.until(lambda e: e.body)
                exchange.leave()

    async def main():
        async with app.router.lifespan_context(app):
            async with asyncio.TaskGroup() as group:
                for number, kind in enumerate(kinds):
                    group.create_task(one(number, kind))
            assert (await exchanged(app, "/api/about")).status == 200

    asyncio.run(main())


def test_the_second_reading_tells_good_from_bad():
    """It decides in the tests above, so it is looked at too."""
    question = BODIES["explain"]
    assert fits(question, {"example": 1, "target": "label", "edits": [{"feature": 0, "values": [1, 2.5]}]})
    bad: list[dict[str, Any]] = [
        {},
        {"example": 1.0},
        {"example": True},
        {"example": 1, "x": 0},
        {"example": 1, "target": "x"},
    ]
    for body in bad:
        assert not fits(question, body)
