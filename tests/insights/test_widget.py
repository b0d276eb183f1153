"""The widget without a browser: its messages over a comm that keeps what is sent."""

import json
import logging
import threading
import time

import comm
import pytest
import traitlets
from comm.base_comm import BaseComm

from pellucid.insights import bundle
from pellucid.insights.asking import BODIES
from pellucid.insights.widget import InsightsWidget
from tests.insights.fake_desk import PATIENCE, FakeDesk


class Keeping(BaseComm):
    """A comm whose other end is a list. Like a kernel's it takes numbers that are not finite."""

    def __init__(self, *args, **kwargs):
        self.published = []
        self.heard = threading.Condition()
        super().__init__(*args, **kwargs)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        with self.heard:
            self.published.append((msg_type, json.loads(json.dumps(data))))
            self.heard.notify_all()


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def widget(desk, monkeypatch):
    monkeypatch.setattr(comm, "create_comm", Keeping)
    made = InsightsWidget(desk)
    made.line = made.comm
    yield made
    desk.go_on.set()
    made.close()


def receive(widget, content):
    """Let a message of the page arrive as a kernel delivers it."""
    data = {"method": "custom", "content": content}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": []})


def messages(widget):
    return [
        data["content"] for kind, data in widget.line.published if kind == "comm_msg" and data["method"] == "custom"
    ]


def until(widget, true):
    with widget.line.heard:
        assert widget.line.heard.wait_for(lambda: true(messages(widget)), PATIENCE)
    return messages(widget)


def of(widget, number):
    """All that is said about a question, up to its end."""
    found = until(widget, lambda all_: any(m["id"] == number and m.keys() & {"end", "failed"} for m in all_))
    return [m for m in found if m["id"] == number]


def test_the_page_is_sent_once_with_the_widget(widget):
    kind, data = widget.line.published[0]
    assert kind == "comm_open"
    assert data["state"]["_esm"] == bundle.module()
    assert data["state"]["_css"] == bundle.stylesheet()
    assert data["state"]["flagged"] == []


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("about", {}),
        ("predictions", {"model": 0}),
        ("thumbnails", {"examples": [1, 2]}),
        ("explain", {"example": 3}),
        ("export", {"question": {"example": 3}, "form": "json"}),
    ],
)
def test_every_route_is_answered(widget, desk, route, body):
    receive(widget, {"id": 7, "route": route, "body": body})
    found = of(widget, 7)
    assert found[-1] == {"id": 7, "end": True}
    assert all(m.keys() == {"id", "event"} for m in found[:-1])
    assert found[0]["event"]["kind"] in {"about", "predictions", "thumbnails", "prediction", "file"}
    assert isinstance(desk.asked[0][1], BODIES[route])


def test_events_come_in_order_and_none_is_lost(widget, desk):
    desk.rows = 200
    for number in range(5):
        receive(widget, {"id": number, "route": "predictions", "body": {}})
    for number in range(5):
        rows = [m["event"]["rows"][0]["index"] for m in of(widget, number)[:-2]]
        assert rows == list(range(200))


def test_a_message_is_taken_while_work_goes_on(widget, desk):
    receive(widget, {"id": 1, "route": "explain", "body": {"example": 0, "method": "held"}})
    assert desk.waiting.acquire(timeout=PATIENCE)
    receive(widget, {"id": 2, "route": "about", "body": {}})
    assert of(widget, 2)[0]["event"]["kind"] == "about"
    assert not [m for m in messages(widget) if m["id"] == 1]
    desk.go_on.set()
    assert of(widget, 1)[0]["event"]["title"] == "held"


@pytest.mark.parametrize("method", ["waits", "silent", "endless"])
def test_cancelling_ends_the_work(widget, desk, method):
    receive(widget, {"id": 1, "route": "explain", "body": {"example": 0, "method": method}})
    if method == "endless":
        until(widget, lambda all_: len(all_) > 3)
    else:
        assert desk.waiting.acquire(timeout=PATIENCE)
    receive(widget, {"id": 1, "cancel": True})
    assert desk.left.acquire(timeout=PATIENCE)
    assert of(widget, 1)[-1] == {"id": 1, "end": True}
    receive(widget, {"id": 1, "cancel": True})
    receive(widget, {"id": 1, "route": "about", "body": {}})  # the number is free again
    until(widget, lambda all_: sum("end" in m for m in all_) == 2)


def test_cancelling_what_waits_for_a_worker(widget, desk):
    for number in range(3):
        receive(widget, {"id": number, "route": "explain", "body": {"example": 0, "method": "held"}})
        assert desk.waiting.acquire(timeout=PATIENCE)
    receive(widget, {"id": 9, "route": "about", "body": {}})
    receive(widget, {"id": 9, "cancel": True})
    assert of(widget, 9) == [{"id": 9, "end": True}]
    desk.go_on.set()
    for number in range(3):
        of(widget, number)
    assert [route for route, _ in desk.asked] == ["explain"] * 3


@pytest.mark.parametrize(
    ("method", "last"),
    [
        ("refused", {"id": 4, "failed": "example is odd."}),
        ("unspeakable", {"id": 4, "failed": "no words"}),
        ("crash", {"id": 4, "end": True}),
        ("infinite", {"id": 4, "end": True}),
    ],
)
def test_failures_are_told(widget, method, last):
    receive(widget, {"id": 4, "route": "explain", "body": {"example": 0, "method": method}})
    found = of(widget, 4)
    assert found[-1] == last
    if "end" in last:
        assert found[-2]["event"]["kind"] == "error"


NESTED: list = []
for _ in range(100_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("message", "number", "words"),
    [
        *(
            (message, None, "integer as its id")
            for message in (None, [], "x", 5, {}, {"id": "1"}, {"id": True}, {"id": 1.5})
        ),
        ({"id": 1}, 1, "route is None"),
        ({"id": 1, "route": "nowhere", "body": {}}, 1, "route is 'nowhere'"),
        ({"id": 1, "route": ["about"], "body": {}}, 1, "no such question"),
        ({"id": 1, "route": "x" * 10_000, "body": {}}, 1, "no such question"),
        ({"id": 1, "route": "about"}, 1, "cannot be read"),
        ({"id": 1, "route": "about", "body": "{}"}, 1, "cannot be read"),
        ({"id": 1, "route": "about", "cancel": 1, "body": []}, 1, "cannot be read"),
        ({"id": 1, "route": "explain", "body": {"example": "0"}}, 1, "example: Input should be a valid integer"),
        ({"id": 1, "route": "explain", "body": {"example": 0, "arguments": {"a": float("nan")}}}, 1, "no JSON"),
        ({"id": 1, "route": "explain", "body": {"example": 0, "arguments": {"a": {1}}}}, 1, "no JSON"),
        ({"id": 1, "route": "explain", "body": {"example": 0, "arguments": {"a": NESTED}}}, 1, "body is no JSON"),
        ({"id": 1, "route": "explain", "body": {"example": 0, "layer": "\ud800"}}, 1, "cannot be read"),
    ],
    ids=range(20),
)
def test_malformed_messages_are_answered(widget, desk, caplog, message, number, words):
    with caplog.at_level(logging.WARNING):
        receive(widget, message)
    found = of(widget, number)
    assert len(found) == 1
    assert words in found[0]["failed"]
    assert len(found[0]["failed"]) < 1000
    assert desk.asked == []
    assert not caplog.records
    receive(widget, {"id": 2, "route": "about", "body": {}})
    assert of(widget, 2)[-1] == {"id": 2, "end": True}


def test_a_number_in_use_is_refused_and_its_answer_goes_on(widget, desk):
    receive(widget, {"id": 1, "route": "explain", "body": {"example": 0, "method": "held"}})
    assert desk.waiting.acquire(timeout=PATIENCE)
    receive(widget, {"id": 1, "route": "about", "body": {}})
    assert "being answered" in of(widget, 1)[0]["failed"]
    desk.go_on.set()
    until(widget, lambda all_: {"id": 1, "end": True} in all_)


def test_too_many_questions_are_put_off(widget, desk):
    for number in range(40):
        receive(widget, {"id": number, "route": "explain", "body": {"example": 0, "method": "held"}})
    assert len(messages(widget)) == 5
    assert all("Ask again" in m["failed"] for m in messages(widget))
    desk.go_on.set()
    for number in range(35):
        assert of(widget, number)[-1] == {"id": number, "end": True}


def test_closing_cancels_and_later_messages_are_harmless(widget, desk):
    for number in range(5):
        receive(widget, {"id": number, "route": "explain", "body": {"example": 0, "method": "waits"}})
    assert desk.waiting.acquire(timeout=PATIENCE)
    widget.close()
    assert desk.left.acquire(timeout=PATIENCE)
    assert widget.line.published[-1][0] == "comm_close"
    widget.hear({"id": 9, "route": "about", "body": {}})
    widget.close()
    assert desk.now == 0


def test_a_broken_line_costs_no_worker(widget, desk, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise OSError("no line")

    with monkeypatch.context() as patch:
        patch.setattr(widget.line, "publish_msg", broken)
        for number in range(4):
            receive(widget, {"id": number, "route": "predictions", "body": {}})
        while caplog.text.count("could not be told") < 4:
            time.sleep(0.01)
    receive(widget, {"id": 9, "route": "about", "body": {}})
    assert of(widget, 9)[-1] == {"id": 9, "end": True}


def test_messages_may_come_in_several_threads(widget, desk):
    def ask(first):
        for number in range(first, first + 5):
            receive(widget, {"id": number, "route": "predictions", "body": {}})

    threads = [threading.Thread(target=ask, args=(10 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first in range(0, 40, 10):
        for number in range(first, first + 5):
            assert [m["event"]["kind"] for m in of(widget, number)[:-1]] == ["predictions"] * 40 + ["done"]


def test_flags_go_both_ways(widget):
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "flagged")
    state = {"method": "update", "state": {"flagged": [3, 5]}, "buffer_paths": []}
    widget.comm.handle_msg({"content": {"data": state}, "buffers": []})
    assert widget.flagged == [3, 5]
    widget.flagged = [8]
    assert widget.line.published[-1] == (
        "comm_msg",
        {"method": "update", "state": {"flagged": [8]}, "buffer_paths": []},
    )
    assert seen == [[3, 5], [8]]
    with pytest.raises(traitlets.TraitError):
        widget.flagged = ["x"]


def test_a_widget_that_could_not_be_made_can_be_collected(desk, monkeypatch):
    def broken():
        raise FileNotFoundError("page")

    monkeypatch.setattr(bundle, "module", broken)
    with pytest.raises(FileNotFoundError):
        InsightsWidget(desk)
