"""The real server on a real socket: requests that are too long, torn, or no HTTP; several clients; the end."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.insights.server import serve, serving
from pellucid.insights.server.safety import BODY_LIMIT
from tests.insights.fake_desk import PATIENCE, FakeDesk


@pytest.fixture
def desk():
    return FakeDesk()


@pytest.fixture
def server(desk):
    with serve(desk, blocking=False) as made:
        yield made
        desk.go_on.set()


@pytest.fixture(scope="module")
def lasting():
    """A server for many tests, which are not to harm it."""
    desk = FakeDesk()
    with serve(desk, blocking=False) as made:
        yield made, desk


def token(server):
    return urlsplit(server.address).query.removeprefix("token=")


def head(server, route="about", length=2, **more):
    lines = {
        "Host": f"127.0.0.1:{server.port}",
        "Content-Type": "application/json",
        "X-Pellucid-Token": token(server),
        "Content-Length": length,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"POST /api/{route} HTTP/1.1\r\n{text}\r\n".encode()


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def answer(connection):
    """The first answer on a connection: status and body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def raw(server, content):
    with connected(server) as connection:
        connection.sendall(content)
        return answer(connection)


def ask(server, route="about", body="{}"):
    return raw(server, head(server, route, len(body)) + body.encode())


def is_well(server):
    status, body = ask(server)
    assert status == 200
    assert json.loads(body)["kind"] == "about"


def test_the_address_opens_the_page_and_the_page_can_ask(server):
    parts = urlsplit(server.address)
    assert (parts.hostname, parts.port) == ("127.0.0.1", server.port)
    assert len(token(server)) >= 40
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    for _ in range(2):  # on one connection
        connection.request("GET", f"/?{parts.query}")
        response = connection.getresponse()
        assert response.status == 200
        assert token(server) in response.read().decode()
        assert response.headers["Server"] is None
    connection.close()
    is_well(server)


def test_servers_have_tokens_of_their_own(server, desk):
    with serve(desk, blocking=False) as other:
        assert other.port != server.port
        assert token(other) != token(server)
        assert raw(other, head(other, X_Pellucid_Token=token(server)) + b"{}")[0] == 401
        is_well(other)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this computer")
def test_only_this_computer_is_listened_to(server):
    with connected(server) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.2", server.port))  # taken, if the server listened at every address


def test_long_questions_with_a_length(server):
    status, body = raw(server, head(server, length=10**9) + b"{")
    assert status == 413
    assert f"{BODY_LIMIT:,}" in json.loads(body)["message"]
    is_well(server)


def test_long_questions_in_chunks(server, desk):
    with connected(server) as connection:
        connection.sendall(head(server, length=None, Transfer_Encoding="chunked"))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(BODY_LIMIT // 0x10000 + 1):
            connection.sendall(chunk)
        status, _ = answer(connection)
    assert status == 413
    assert desk.asked == []
    is_well(server)


def test_questions_in_small_chunks(server):
    with connected(server) as connection:
        connection.sendall(head(server, length=None, Transfer_Encoding="chunked"))
        for part in (b"1\r\n{\r\n", b"3;odd=1\r\n \n \r\n", b"1\r\n}\r\n", b"0\r\n\r\n"):
            connection.sendall(part)
        status, body = answer(connection)
    assert status == 200
    assert json.loads(body)["kind"] == "about"


def test_clients_that_wait_for_permission_to_send_get_it(server):
    with connected(server) as connection:
        connection.sendall(head(server, Expect="100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert answer(connection)[0] == 200


def test_half_sent_questions_hold_nobody_up(server, desk):
    begun = [connected(server) for _ in range(8)]
    for place, connection in enumerate(begun):
        whole = head(server, length=100) + b"{"
        connection.sendall(whole[: len(whole) * (place + 1) // len(begun)])
    is_well(server)
    for connection in begun:
        connection.close()
    is_well(server)
    assert len(desk.asked) == 2


def test_leaving_cancels_the_work(server, desk):
    for method in ("waits", "silent", "endless"):
        body = json.dumps({"example": 0, "method": method}).encode()
        with connected(server) as connection:
            connection.sendall(head(server, "explain", len(body)) + body)
            if method != "endless":
                assert desk.waiting.acquire(timeout=PATIENCE)
            else:
                assert connection.recv(100)
        assert desk.left.acquire(timeout=PATIENCE)
    is_well(server)


def test_events_arrive_while_the_answer_goes_on(server, desk):
    body = json.dumps({"example": 9, "method": "waits"}).encode()
    with connected(server) as connection:
        connection.sendall(head(server, "explain", len(body)) + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert json.loads(response.readline()) == {"kind": "prediction", "label": 9}
        assert desk.now == 1


def test_a_slow_reader_gets_everything_and_the_desk_waits_for_it(server, desk):
    desk.rows, desk.width = 3000, 10_000  # more than the buffers of the system hold
    with connected(server) as connection:
        connection.sendall(head(server, "predictions") + b"{}")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert json.loads(response.readline())["rows"][0]["index"] == 0
        is_well(server)
        assert desk.sent < desk.rows
        rows = [json.loads(line) for line in response]
    assert [row["rows"][0]["index"] for row in rows[:-1]] == list(range(1, desk.rows))
    assert rows[-1]["kind"] == "done"


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: example.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"POST /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
        b"POST /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_no_http_is_refused(lasting, content):
    server, desk = lasting
    desk.asked.clear()
    status, _ = raw(server, content)
    assert 400 <= status < 500 or status == 501
    assert desk.asked == []
    is_well(server)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 403),
        (b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", 403),
        (b"GET http://example.org/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET //example.org/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /%ff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"OPTIONS /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://example.org\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 401),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Host: example.org\r\n\r\n", 401),
        (b"GET /?token=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    ],
)
def test_odd_requests_have_their_status(lasting, content, status):
    server, desk = lasting
    desk.asked.clear()
    found, body = raw(server, content)
    assert found == status
    if status != 400:
        assert json.loads(body)["message"]
    assert desk.asked == []
    is_well(server)


def test_several_clients_at_once(server, desk):
    found = {}

    def client(name):
        for number in range(10):
            example = 100 * name + number
            status, body = ask(server, "explain", json.dumps({"example": example}))
            rows = ask(server, "predictions")[1].splitlines()
            found[example] = (status, json.loads(body.splitlines()[0])["label"], len(rows))

    threads = [threading.Thread(target=client, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {100 * n + k: (200, 100 * n + k, desk.rows + 1) for n in range(4) for k in range(10)}


def test_closing_ends_answers_and_threads_and_may_be_repeated(desk):
    before = set(threading.enumerate())
    server = serve(desk, blocking=False)
    body = json.dumps({"example": 0, "method": "waits"}).encode()
    with connected(server) as connection, connected(server) as idle:
        connection.sendall(head(server, "explain", len(body)) + body)
        assert desk.waiting.acquire(timeout=PATIENCE)
        assert "at http://" in repr(server)
        server.close()
        status, found = answer(connection)
        assert idle.recv(1) == b""
    assert status == 200
    assert [json.loads(line)["kind"] for line in found.splitlines()] == ["prediction", "error"]
    server.close()
    assert server.wait(0)
    assert "closed" in repr(server)
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        connected(server)
    with serve(desk, port=server.port, blocking=False) as again:  # the port is free
        is_well(again)


def test_a_taken_port_is_named(server, desk):
    with pytest.raises(InvalidValueError, match=f"port is {server.port}, but it cannot be listened at"):
        serve(desk, port=server.port)
    is_well(server)


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_that_do_not_exist(desk, port):
    with pytest.raises(InvalidValueError, match="no such port"):
        serve(desk, port=port)


@pytest.mark.parametrize("port", ["8000", 80.0, True])
def test_ports_are_integers(desk, port):
    with pytest.raises(InvalidTypeError, match="integer"):
        serve(desk, port=port)


def test_nothing_of_the_process_is_changed_or_told(desk, caplog, capfd):
    names = [None, "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "asyncio"]

    def state():
        loggers = [logging.getLogger(name) for name in names]
        handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        return [(log.level, list(log.handlers), log.propagate) for log in loggers], handlers

    with caplog.at_level(logging.DEBUG):
        before = state()
        with serve(desk, blocking=False) as server:
            is_well(server)
            raw(server, f"GET {server.address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert state() == before
        assert state() == before
    assert token(server) not in caplog.text
    assert "about" not in caplog.text
    assert capfd.readouterr() == ("", "")


def test_the_browser_is_opened_where_wanted(desk, monkeypatch):
    opened = []
    monkeypatch.setattr(serving.webbrowser, "open", opened.append)
    with serve(desk, blocking=False):
        assert opened == []
    with serve(desk, blocking=False, open_browser=True) as server:
        assert opened == [server.address]


BLOCKING = """
import json, sys
from pellucid.insights.server import serve
from tests.insights.fake_desk import FakeDesk
served = serve(FakeDesk())
print(served.wait(0), served)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
def test_a_blocking_server_ends_with_ctrl_c():
    command, pipe = [sys.executable, "-u", "-c", BLOCKING], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            first = process.stdout.readline()
            assert first.startswith("A <fake> desk is at http://127.0.0.1:")
            assert process.stdout.readline() == "Press Ctrl-C to stop.\n"
            port = urlsplit(first.split(" is at ")[1]).port
            body = json.dumps({"example": 0, "method": "waits"}).encode()
            secret = first.strip().partition("?token=")[2]
            more = {"Content-Type": "application/json", "X-Pellucid-Token": secret}
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request("POST", "/api/explain", body, more)
                with connection.getresponse() as response:
                    assert response.status == 200
                    response.readline()
                    process.send_signal(signal.SIGINT)
                    out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("Stopped.\nTrue <Serving closed")
