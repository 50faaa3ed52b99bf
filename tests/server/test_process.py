"""The server as a process: without torch, reloaded under load, ended without a lost answer."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from dllm2rec.cli import main
from tests.network import ALONE
from tests.server.conftest import N_ITEMS, TOKEN
from tests.server.served import served

pytestmark = pytest.mark.slow  # starts processes

BODY = json.dumps({"history": ["item-1", "item-2"], "k": 5})


def asked(connection: http.client.HTTPConnection, path: str = "/recommend") -> int:
    connection.request("POST", path, BODY)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_it_answers_without_torch_and_ends_when_it_is_told(folder):
    with served(folder) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        assert asked(connection) == 200
        connection.request("GET", "/")
        page = connection.getresponse()
        assert page.status == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert b"<!doctype html>" in page.read()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert server.line() == ""
        connection.close()


def test_it_speaks_to_no_other_machine(folder):
    with served(folder, first=ALONE) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        assert asked(connection) == 200
        connection.close()


def test_clients_cannot_make_it_print(folder):
    with served(folder) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(b"no http\r\n\r\n")
                assert b" 400 " in client.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert server.line() == ""


def test_a_request_that_has_begun_is_answered_after_sigterm(folder):
    with served(folder) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            head = f"POST /recommend HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n"
            client.sendall(head.encode() + BODY[:5].encode())
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port))
            client.sendall(BODY[5:].encode())
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == 200
            assert len(json.loads(answer.read())["items"]) == 5
        assert server.process.wait(20) == 0


def test_no_request_is_dropped_while_exports_are_read_again(folder, other_folder, tmp_path):
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    current = tmp_path / "current"
    current.symlink_to(folder)
    with served(current, "--admin-token-file", str(token)) as server:
        statuses: list[int] = []
        stop = threading.Event()

        def ask_on() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            while not stop.is_set():
                statuses.append(asked(connection))
            connection.close()

        threads = [threading.Thread(target=ask_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            admin = http.client.HTTPConnection("127.0.0.1", server.port)
            headers = {"authorization": f"Bearer {TOKEN}"}
            for export in (other_folder, folder, current):
                body = json.dumps({"export": str(export)})
                admin.request("POST", "/reload", body, headers)
                answer = admin.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()
            # The usual way: a link that leads to the newest, and a signal.
            current.unlink()
            current.symlink_to(other_folder)
            server.process.send_signal(signal.SIGHUP)
            assert f"{N_ITEMS + 20:,} items" in server.line()
            current.unlink()
            server.process.send_signal(signal.SIGHUP)
            told = server.line()
            assert "goes on" in told
            assert str(current) in told
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        admin.request("GET", "/ready")
        assert json.loads(admin.getresponse().read())["loads"] == 5
        admin.close()
        assert len(statuses) > 50
        assert set(statuses) == {200}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 4, "dllm2rec export made"),
        (["EXPORT", "--host", "no.such.host.invalid"], 6, "--host no.such.host.invalid"),
        (["EXPORT", "--admin-token-file", "nowhere"], 3, "E-FILE nowhere"),
        (["EXPORT", "--admin-token-file", "empty"], 2, "one word"),
        (["EXPORT", "--port", "70000"], 2, "--port"),
        (["EXPORT", "--max-k", "0"], 2, "--max-k"),
        (["."], 4, "manifest"),
    ],
)
def test_what_cannot_be_served_is_refused(
    folder, tmp_path, monkeypatch, capsys, words, code, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    words = [str(folder) if word == "EXPORT" else word for word in words]
    assert main(["serve", *words]) == code
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 6
    assert "--port 0 takes any free port" in capsys.readouterr().err


def test_a_wrong_path_is_told_without_a_library():
    code = (
        "import sys; from dllm2rec.cli import main; code = main(['serve', 'nowhere']);"
        "heavy = {'torch', 'numpy', 'fastapi', 'onnxruntime'} & set(sys.modules);"
        "sys.exit(f'{heavy} imported' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
