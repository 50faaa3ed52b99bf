"""Clients that send too little, too much or too slowly are let go; others are answered."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dllm2rec.server.limits import Limits
from tests.server.served import Served, served

pytestmark = pytest.mark.slow  # starts a process, and waits for its patience

SECONDS = 1.0
BODY = json.dumps({"history": ["item-1"], "k": 300}).encode()
HEAD = b"POST /recommend HTTP/1.1\r\nhost: x\r\n"
REQUEST = HEAD + f"content-length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.fixture(scope="module")
def server(folder) -> Iterator[Served]:
    with served(folder, "--timeout", str(SECONDS)) as started:
        yield started


def connected(server: Served) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(10 * SECONDS)
    return client


def read_to_end(client: socket.socket) -> bytes:
    """What comes until the server closes; a test that waits in vain fails by its time."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_until(client: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end) and (part := client.recv(1 << 16)):
        found += part
    return found


def refused(answer: bytes, status: int, code: str) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert b"\r\nconnection: close" in head
    error = json.loads(body)["error"]
    assert error["code"] == code
    return str(error["message"])


def is_answered(server: Served) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", "/recommend", BODY)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status == 200


def is_let_go(client: socket.socket, letters: bytes, *, times: int, pause_s: float = 0) -> bool:
    """Whether the server closes before all is sent."""
    try:
        for _ in range(times):
            client.sendall(letters)
            time.sleep(pause_s)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


@contextmanager
def many_files(n: int) -> Iterator[None]:
    """Let this process open so many, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(n, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(server: Served) -> int:
    """Bytes that the process holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def test_who_sends_nothing_is_let_go_and_keeps_nobody_waiting(server):
    clients = [connected(server) for _ in range(200)]
    assert is_answered(server)
    assert [read_to_end(client) for client in clients] == [b""] * len(clients)
    for client in clients:
        client.close()


def test_connections_beyond_the_limit_are_told_to_come_again(server):
    with many_files(2000):
        clients = [connected(server) for _ in range(Limits().connections)]
        time.sleep(SECONDS / 10)  # until all are accepted
        with connected(server) as client:
            answer = read_to_end(client)
        for one in clients:
            one.close()
    assert b"\r\nretry-after: 1\r\n" in answer
    assert refused(answer, 429, "E-BUSY") == "900 connections are open already"
    time.sleep(SECONDS / 10)
    assert is_answered(server)


@pytest.mark.parametrize("letters", [b"POST /rec", HEAD, b"\r\n"])
def test_headers_that_come_slowly_are_not_waited_for(server, letters):
    with connected(server) as client:
        begin = time.monotonic()
        client.sendall(letters)
        answer = read_to_end(client)
        assert time.monotonic() - begin < 8 * SECONDS
    if letters == b"\r\n":  # no request was begun
        assert answer == b""
    else:
        assert refused(answer, 408, "E-BUSY") == "the headers were not there after 1 s"


def test_a_letter_now_and_then_does_not_extend_the_time(server):
    with connected(server) as client:
        client.sendall(HEAD)
        assert is_let_go(client, b"a: b\r\n", times=60, pause_s=SECONDS / 5)


def test_who_is_within_its_time_is_answered_again_and_again(server):
    with connected(server) as client:
        for _ in range(4):  # together longer than one of them may take
            client.sendall(REQUEST[:20])
            time.sleep(SECONDS / 2)
            client.sendall(REQUEST[20:])
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == 200
            answer.read()


@pytest.mark.parametrize(
    "long", [b"x-long: " + b"a" * 70_000, b"x: y\r\n" * 20_000, b"cookie: " + b"\xff" * 200_000]
)
def test_large_headers_are_refused(server, long):
    with connected(server) as client:
        try:
            client.sendall(HEAD + long + b"\r\n\r\n")
        except ConnectionResetError:
            return  # it was refused before all was sent
        assert "more than 65,536 bytes" in refused(read_to_end(client), 431, "E-LIMIT")


def test_headers_without_end_take_no_memory(server):
    before = memory(server)
    with connected(server) as client:
        client.sendall(HEAD + b"x: ")
        assert is_let_go(client, b"a" * 100_000, times=1000)
    assert memory(server) - before < 20e6
    assert is_answered(server)


def test_a_body_that_is_said_to_be_huge_is_refused_before_it_comes(server):
    with connected(server) as client:
        client.sendall(HEAD + b"content-length: 99999999999\r\n\r\n" + b"x" * 1000)
        client.shutdown(socket.SHUT_WR)
        head, _, _ = read_to_end(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")


def test_an_answer_comes_in_one_piece(server):
    body = b'{"history": ["item-1"], "k": 1}'
    head = HEAD + f"content-length: {len(body)}\r\n".encode()
    with connected(server) as client:
        for _ in range(5):
            client.sendall(head + b"\r\n" + body)
            assert client.recv(1 << 16).endswith(b'"popular":false}')
        client.sendall(head + b"expect: 100-continue\r\n\r\n")
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        answer = read_until(client, b'"popular":false}')
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_what_is_no_http_is_refused_in_the_form_of_all_refusals(server):
    with connected(server) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert refused(read_to_end(client), 400, "E-REQUEST") == "the request is no HTTP"


def test_who_does_not_take_its_answers_is_let_go(server):
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert is_let_go(client, REQUEST, times=10**6)  # and reads none of the answers
    assert is_answered(server)
