"""Answers in worker threads: order, bounds, cancelling, failures, and the end."""

import asyncio
import contextvars
import gc
import logging
import subprocess
import sys
import threading
import weakref

import pytest

from pellucid.errors import InvalidTypeError
from pellucid.insights import jobs as module
from pellucid.insights.asking import PredictionsBody, Question
from pellucid.insights.jobs import BusyError, Jobs, encode
from pellucid.insights.line import Cancelled
from pellucid.insights.server.channel import Channel
from tests.insights.fake_desk import PATIENCE, FakeDesk, Heard


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def jobs(desk):
    made = Jobs(desk, workers=2, waiting=3)
    yield made
    desk.go_on.set()
    made.close()


def explain(method, example=0):
    return "explain", Question(example=example, method=method)


def run(jobs, *question):
    heard = Heard()
    jobs.start(*question, heard)
    heard.wait()
    assert len(heard.ends) == 1
    return heard


def test_events_come_in_order_and_end_once(jobs):
    heard = run(jobs, "predictions", PredictionsBody())
    assert [e["rows"][0]["index"] for e in heard.events[:-1]] == list(range(40))
    assert heard.ends == [None]


@pytest.mark.parametrize(
    ("method", "events", "end"),
    [
        ("integrated_gradients", ["prediction", "result"], type(None)),
        ("nothing", [], type(None)),
        ("refused", [], InvalidTypeError),
        ("late", ["prediction", "error"], type(None)),
        ("crash", ["prediction", "error"], type(None)),
        ("crash_at_once", ["error"], type(None)),
        ("exit", ["error"], type(None)),
        ("unspeakable", [], RuntimeError),
    ],
)
def test_every_answer_ends(jobs, method, events, end):
    for _ in range(3):  # more often than there are workers: none of them is lost
        heard = run(jobs, *explain(method))
        assert [e["kind"] for e in heard.events] == events
        assert type(heard.ends[0]) is end


def test_errors_carry_type_and_message_and_are_logged_with_their_trace(jobs, caplog):
    with caplog.at_level(logging.ERROR):
        heard = run(jobs, *explain("crash"))
    assert heard.events[-1] == {
        "kind": "error",
        "message": "ZeroDivisionError: the model divides by zero",
        "source": "model",
    }
    assert "in _crash" in caplog.text
    late = run(jobs, *explain("late"))
    assert late.events[-1] == {"kind": "error", "message": "That came late.", "source": "question"}


def test_refusals_are_not_logged(jobs, caplog):
    assert str(run(jobs, *explain("refused")).ends[0]) == "example is odd."
    assert not caplog.records


def test_no_more_answers_at_a_time_than_workers(jobs, desk):
    heard = [Heard() for _ in range(5)]
    for one in heard:
        jobs.start(*explain("held"), one)
    assert desk.waiting.acquire(timeout=PATIENCE)
    assert desk.waiting.acquire(timeout=PATIENCE)
    with pytest.raises(BusyError, match="3 questions wait"):
        jobs.start(*explain("held"), Heard())
    desk.go_on.set()
    for one in heard:
        assert one.wait() == [{"kind": "result", "title": "held"}]
    assert desk.most == 2


def test_a_running_job_is_cancelled(jobs, desk):
    heard = Heard()
    job = jobs.start(*explain("waits"), heard)
    assert desk.waiting.acquire(timeout=PATIENCE)
    jobs.cancel(job)
    heard.wait()
    assert heard.stopped.is_set()
    assert isinstance(heard.ends[0], Cancelled)
    jobs.cancel(job)
    assert len(heard.ends) == 1


def test_a_waiting_job_is_cancelled_without_being_asked_and_makes_room(jobs, desk):
    held = [Heard() for _ in range(2)]
    for one in held:
        jobs.start(*explain("held"), one)
        assert desk.waiting.acquire(timeout=PATIENCE)
    for _ in range(10):
        heard = Heard()
        job = jobs.start(*explain("integrated_gradients", 77), heard)
        jobs.cancel(job)
        assert heard.wait() == []
        assert [type(end) for end in heard.ends] == [Cancelled]
    desk.go_on.set()
    for one in held:
        one.wait()
    assert not [body for _, body in desk.asked if body.example == 77]


def test_cancelling_what_has_ended_changes_nothing(jobs):
    heard = Heard()
    job = jobs.start("predictions", PredictionsBody(), heard)
    heard.wait()
    jobs.cancel(job)
    assert not heard.stopped.is_set()
    assert heard.ends == [None]


def test_events_of_a_cancelled_job_are_not_sent(jobs, desk):
    heard = Heard()
    job = jobs.start(*explain("held"), heard)
    assert desk.waiting.acquire(timeout=PATIENCE)
    jobs.cancel(job)
    desk.go_on.set()
    assert heard.wait() == []


def test_closing_cancels_everything(jobs, desk):
    before = set(threading.enumerate())
    heard = [Heard() for _ in range(5)]
    for one in heard:
        jobs.start(*explain("waits"), one)
    assert desk.waiting.acquire(timeout=PATIENCE)
    jobs.close(PATIENCE)
    for one in heard:
        one.wait()
        assert [type(end) for end in one.ends] == [Cancelled]
    with pytest.raises(BusyError, match="closed"):
        jobs.start(*explain("nothing"), Heard())
    jobs.close()
    assert set(threading.enumerate()) <= before


def test_closing_waits_for_what_stops(jobs, desk):
    jobs.start(*explain("held"), Heard())
    assert desk.waiting.acquire(timeout=PATIENCE)
    later = threading.Timer(0.1, desk.go_on.set)
    later.start()
    jobs.close(PATIENCE)
    assert desk.go_on.is_set()
    assert desk.now == 0
    later.join()


def test_questions_are_answered_in_their_order(desk):
    jobs = Jobs(desk, workers=1)
    heard = [Heard() for _ in range(5)]
    for place, one in enumerate(heard):
        jobs.start(*explain("held", place), one)
    desk.go_on.set()
    for one in heard:
        one.wait()
    jobs.close()
    assert [body.example for _, body in desk.asked] == [0, 1, 2, 3, 4]


def test_closing_does_not_wait_for_what_does_not_stop(jobs, desk):
    heard = Heard()
    jobs.start(*explain("held"), heard)
    assert desk.waiting.acquire(timeout=PATIENCE)
    jobs.close(patience=0.01)
    assert not heard.over.is_set()
    desk.go_on.set()
    heard.wait()


def test_workers_without_work_leave(desk, monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.02)
    jobs = Jobs(desk)
    for _ in range(2):
        before = set(threading.enumerate())
        heard = Heard()
        jobs.start(*explain("held"), heard)
        assert desk.waiting.acquire(timeout=PATIENCE)
        workers = set(threading.enumerate()) - before
        assert len(workers) == 1
        desk.go_on.set()
        heard.wait()
        for thread in workers:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    jobs.close()


def test_nothing_holds_closed_jobs(desk):
    jobs = Jobs(desk)
    run(jobs, *explain("nothing"))
    jobs.close()
    held = weakref.ref(jobs)
    del jobs
    gc.collect()
    assert held() is None


def test_answers_run_in_the_context_of_the_question(desk):
    asking = contextvars.ContextVar("asking")
    seen = []

    class Looking(FakeDesk):
        def _nothing(self, body, line):
            seen.append(asking.get())

    jobs = Jobs(Looking())
    for name in ("first", "second"):
        asking.set(name)
        run(jobs, *explain("nothing"))
    jobs.close()
    assert seen == ["first", "second"]


def test_a_receiver_that_fails_costs_no_worker(jobs, caplog):
    class Broken(Heard):
        def event(self, event):
            raise OSError("no line")

        def end(self, error):
            super().end(error)
            raise OSError("no line either")

    for _ in range(4):
        broken = Broken()
        jobs.start("predictions", PredictionsBody(), broken)
        broken.wait()
        assert isinstance(broken.ends[0], OSError)
    assert len(run(jobs, "predictions", PredictionsBody()).events) == 41


def test_many_threads_ask_at_once(desk):
    jobs = Jobs(desk, workers=3, waiting=200)
    heard = [Heard() for _ in range(60)]

    def ask(some):
        for one in some:
            jobs.start("predictions", PredictionsBody(), one)

    threads = [threading.Thread(target=ask, args=(heard[i::6],)) for i in range(6)]
    for thread in threads:
        thread.start()
    for one in heard:
        rows = [e["rows"][0]["index"] for e in one.wait()[:-1]]
        assert rows == list(range(desk.rows))
    for thread in threads:
        thread.join()
    assert desk.most <= 3
    jobs.close()


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1, 2}, b"x"])
def test_what_is_no_json_is_not_sent(value):
    with pytest.raises((ValueError, TypeError)):
        encode({"kind": "result", "sum": value})


def read_all(channel):
    async def reading():
        lines = b""
        while more := await channel.read():
            lines += more
        return lines

    return reading()


def test_a_channel_makes_a_fast_answer_wait_and_loses_nothing(jobs):
    async def main():
        channel = Channel(asyncio.get_running_loop(), room=3)
        jobs.start("predictions", PredictionsBody(), channel)
        return await read_all(channel)

    lines = asyncio.run(main()).splitlines()
    assert len(lines) == 41
    assert lines == sorted(lines[:-1], key=lambda line: int(line.split(b'"index":')[1].split(b",")[0])) + lines[-1:]


def test_a_channel_holds_no_more_than_its_room(jobs, desk):
    async def main():
        channel = Channel(asyncio.get_running_loop(), room=3)
        job = jobs.start(*explain("endless"), channel)
        while desk.sent < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert desk.sent == 3
        assert len((await channel.read()).splitlines()) == 3
        jobs.cancel(job)
        assert isinstance(channel.error, Cancelled)
        while await channel.read():
            continue

    asyncio.run(main())
    assert desk.left.acquire(timeout=PATIENCE)


def test_a_reader_does_not_wait_for_work_that_was_cancelled(jobs, desk):
    async def main():
        channel = Channel(asyncio.get_running_loop())
        job = jobs.start(*explain("held"), channel)
        assert await asyncio.to_thread(desk.waiting.acquire, timeout=PATIENCE)
        jobs.cancel(job)
        assert await asyncio.wait_for(channel.read(), PATIENCE) == b""
        assert desk.now == 1

    asyncio.run(main())


def test_whoever_reads_nothing_loses_the_worker(jobs, desk):
    async def main():
        channel = Channel(asyncio.get_running_loop(), room=2, patience=0.05)
        jobs.start(*explain("endless"), channel)
        assert await asyncio.to_thread(desk.left.acquire, timeout=PATIENCE)
        assert len((await channel.read()).splitlines()) == 2
        assert await channel.read() == b""
        assert "not read" in str(channel.error)

    asyncio.run(main())


def test_a_loop_that_has_ended_ends_the_answer(jobs, desk):
    loop = asyncio.new_event_loop()
    channel = Channel(loop)
    loop.close()
    jobs.start(*explain("endless"), channel)
    assert desk.left.acquire(timeout=PATIENCE)


def test_the_interpreter_ends_while_answers_run():
    code = """
import threading
from pellucid.insights.asking import Question
from pellucid.insights.jobs import Jobs
from tests.insights.fake_desk import FakeDesk, Heard
desk = FakeDesk()
jobs = Jobs(desk)
for _ in range(6):
    jobs.start("explain", Question(example=0, method="waits"), Heard())
desk.waiting.acquire(timeout=30)
print("leaving")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")
