from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmp.cli import answer
from mmp.cli.main import main

Proxy = Callable[[bytes], str]

ROW = {
    "session": "1",
    "worker": 1,
    "service": "imap",
    "user": "alice",
    "address": "192.0.2.1",
    "port": 1,
    "backend": "store1",
    "mechanism": "PLAIN",
    "tls": "",
    "phase": "relay",
    "since": "2026-11-24T12:00:00.000Z",
    "idle": 0.0,
    "bytes_in": 0,
    "bytes_out": 0,
}
STATUS = {
    "version": "1",
    "versions": {"python": "3", "twisted": "26", "openssl": "OpenSSL 4"},
    "pid": 1,
    "started": "2026-11-24T12:00:00.000Z",
    "draining": False,
    "workers": [],
    "listeners": [],
    "sessions": 0,
    "directory": {"up": True, "down": {}, "warnings": {}, "watched": {}},
    "shared": {"up": True, "why": "", "url": ""},
}


def done(what: Any) -> bytes:
    return json.dumps({"done": what}).encode() + b"\n"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Start somebody at a control socket who hears one request, answers it with these octets and goes."""
    threads, listening = [], socket.socket(socket.AF_UNIX)
    listening.settimeout(30)

    def answering(octets: bytes) -> None:
        connection, _ = listening.accept()
        with connection:
            while not connection.recv(65536).endswith(b"\n"):
                pass
            connection.sendall(octets)

    def start(octets: bytes) -> str:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        threads.append(threading.Thread(target=answering, args=(octets,)))
        threads[0].start()
        return f"unix:{tmp_path}/control.sock"

    yield start
    for thread in threads:
        thread.join()
    listening.close()


@pytest.mark.parametrize("command", ["who", "status", "reload"])
@pytest.mark.parametrize(
    "octets",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\xff\n", b"5\n", b"{}\n", b'{"done": 5}\n', b"[" * 100_000 + b"\n"],
    ids=["HTTP", "octets", "number", "object", "done", "deep"],
)
def test_somebody_else_at_the_socket_is_told_from_a_proxy(proxy: Proxy, capsys, command: str, octets: bytes) -> None:
    control = proxy(octets)
    assert main([command, "--control", control]) == 1
    path = control.removeprefix("unix:")
    assert capsys.readouterr().err == f"mmp {command}: {path}: what answers there is no proxy\n"


def test_a_line_without_end_is_not_kept(proxy: Proxy, capsys, monkeypatch) -> None:
    monkeypatch.setattr(answer, "LONGEST", 100)
    assert main(["status", "--control", proxy(b"x" * 100 + b"\n")]) == 1
    assert "what answers there is no proxy" in capsys.readouterr().err


@pytest.mark.parametrize("octets", [b"", b"[", b'{"done": {', b"[]\n", b'[]\n{"done'])
def test_a_proxy_that_ends_in_the_middle_of_its_answer_is_none_that_runs(proxy: Proxy, capsys, octets: bytes) -> None:
    assert main(["who", "--control", proxy(octets)]) == 3
    assert capsys.readouterr().err == "mmp who: the proxy ended in the middle of its answer\n"


def test_a_proxy_that_resets_the_connection_is_none_that_runs(tmp_path: Path, capsys) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()

        def reset() -> None:
            connection, _ = listening.accept()
            connection.recv(1)  # what is left unread makes a reset of the close
            connection.close()

        thread = threading.Thread(target=reset)
        thread.start()
        assert main(["kick", "alice", "--control", f"unix:{tmp_path}/control.sock"]) == 3
        thread.join()
    assert capsys.readouterr().err == "mmp kick: the proxy ended in the middle of its answer\n"


def test_a_proxy_that_does_not_answer_is_given_up(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(answer, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        assert main(["status", "--control", f"unix:{tmp_path}/control.sock"]) == 3
    assert capsys.readouterr().err == "mmp status: the proxy has not answered for 0.05 s\n"


@pytest.mark.parametrize("command", [["status"], ["who"], ["trace", "alice"]], ids=lambda command: command[0])
def test_an_interruption_ends_a_command_without_a_word(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        line = [sys.executable, "-m", "mmp.cli.main", *command, "--control", f"unix:{path}"]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(1) == b"{"
            process.send_signal(signal.SIGINT)
            told = process.communicate()
    assert (process.returncode, *told) == (0 if command[0] == "trace" else 130, b"", b"")


def test_what_clients_and_directories_chose_does_nothing_to_a_terminal(proxy: Proxy, capsys) -> None:
    row = ROW | {"user": "\x1b[2Ja\u202e\n", "backend": "\x9b1m"}
    assert main(["who", "--control", proxy(json.dumps([row]).encode() + b"\n" + done({}))]) == 0
    shown = capsys.readouterr().out
    assert r"\x1b[2Ja\u202e\n" in shown
    assert r"\x9b1m" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_what_a_directory_answers_does_nothing_to_a_terminal(proxy: Proxy, capsys) -> None:
    directory = {"up": True, "down": {"ldap://a": "\x1b[2J"}, "warnings": {"ldap://b": ["\x1b[3J"]}}
    status = STATUS | {"directory": directory | {"watched": {"ldap://c": "\x1b[4J"}}}
    assert main(["status", "--control", proxy(done(status))]) == 0
    assert capsys.readouterr().out.splitlines()[2:5] == [
        r"directory: up, ldap://a is down: \x1b[2J",
        r"warning: ldap://b: \x1b[3J",
        r"changes at ldap://c: not followed: \x1b[4J",
    ]


def test_the_reason_of_a_refusal_does_nothing_to_a_terminal(proxy: Proxy, capsys) -> None:
    assert main(["reload", "--control", proxy(rb'{"error": "a: \u001b[2J\nb"}' + b"\n")]) == 1
    assert capsys.readouterr().err == "mmp reload: a: \\x1b[2J\nb\n"


@pytest.mark.parametrize(
    ("shared", "shown"),
    [
        ({"up": True, "why": "", "url": "redis://a"}, "shared state: up"),
        ({"up": False, "why": "connection refused", "url": "redis://a"}, "shared state: down: connection refused"),
        ({"up": False, "why": "too slow", "url": ""}, "shared state: down: too slow"),
    ],
)
def test_whether_this_host_counts_alone_is_shown(proxy: Proxy, capsys, shared: dict[str, Any], shown: str) -> None:
    assert main(["status", "--control", proxy(done(STATUS | {"shared": shared}))]) == 0
    assert capsys.readouterr().out.splitlines()[3] == shown


@pytest.mark.parametrize("store", ["{count}", "{}", "{x}", "{0}", "%s", "a\x1b[2J"])
def test_the_name_of_a_store_is_said_as_it_is(proxy: Proxy, capsys, store: str) -> None:
    assert main(["disable", store, "--control", proxy(done({"count": 1, "kicked": 0}))]) == 0
    assert capsys.readouterr().out == f"no login goes to {store} any more\n".replace("\x1b", r"\x1b")


def test_a_name_that_the_terminal_has_no_letters_for_is_no_error(proxy: Proxy) -> None:
    control = proxy(json.dumps([ROW | {"user": "günther"}]).encode() + b"\n" + done({}))
    line = [sys.executable, "-m", "mmp.cli.main", "who", "--control", control]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(line, env=environment, capture_output=True, check=True)
    assert rb"g\xfcnther" in ended.stdout


def test_a_configuration_that_is_not_for_us_is_told(tmp_path: Path, capsys, monkeypatch) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    monkeypatch.setattr(answer, "DEFAULTS", (str(folder / "mmp.toml"),))

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith(f"mmp status: {folder}/mmp.toml: cannot be read: ")
