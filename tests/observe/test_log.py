"""The log: its lines, and what becomes of it when nobody reads or the disk is full."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.model import Credentials, Endpoint, Service
from mmp.observe.log import EventLog, Style, open_log

ROOT = Path(__file__).parents[2]
MORNING = 1795507200.123
LINE = re.compile(r"\S+ \S+ \S+((?: \w+=(?:[^\s\"\\=]+|\"(?:[^\"\\]|\\.)*\"))*)")
FACT = re.compile(r"(\w+)=([^\s\"\\=]+|\"(?:[^\"\\]|\\.)*\")")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mmp.log"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    descriptor = open_log(str(path))
    yield EventLog(descriptor, now=lambda: MORNING)
    os.close(descriptor)


def facts_of(line: str) -> dict[str, str]:
    """Read a text line back as anybody's script would."""
    matched = LINE.fullmatch(line)
    assert matched, line
    pairs = FACT.findall(matched[1])
    return {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}


def test_a_text_line_reads_time_level_event_and_facts_in_the_order_given(log: EventLog, path: Path) -> None:
    log.event("login", session="a1", service=Service.IMAP, client=Endpoint("::1", 51234), user="al", bits=128, ok=True)
    assert path.read_text() == (
        "2026-11-24T08:00:00.123Z info login session=a1 service=imap client=[::1]:51234 user=al bits=128 ok=true\n"
    )


def test_a_json_line_is_one_object_with_numbers_and_truths_as_such(path: Path) -> None:
    descriptor = open_log(str(path))
    log = EventLog(descriptor, "json", now=lambda: MORNING)
    log.event("closed", "warn", client=Endpoint("192.0.2.1", 1), duration=1.5, bytes_in=3, ok=False, why="l\u2028f\n")
    os.close(descriptor)
    line = path.read_text()
    assert line.isascii()
    assert json.loads(line) == {
        "time": "2026-11-24T08:00:00.123Z",
        "level": "warn",
        "event": "closed",
        "client": "192.0.2.1:1",
        "duration": 1.5,
        "bytes_in": 3,
        "ok": False,
        "why": "l\u2028f\n",
    }


def test_absent_facts_are_left_out_and_zero_is_a_fact(log: EventLog, path: Path) -> None:
    log.event("closed", user=None, backend="", bytes_in=0)
    assert path.read_text().endswith(" closed bytes_in=0\n")


@pytest.mark.parametrize("level", ["debug", "info"])
def test_what_is_below_the_level_is_not_written(path: Path, level: str) -> None:
    descriptor = open_log(str(path))
    log = EventLog(descriptor, level="warn")
    log.event("login", level)
    assert not path.read_bytes()
    log.event("directory", "warn", state="down")
    assert path.read_text().endswith(" warn directory state=down\n")
    os.close(descriptor)


@pytest.mark.parametrize(
    "value",
    [
        "a b",
        'say "no"',
        "back\\slash",
        "user=root",
        "x\n2026-11-24T08:00:00.123Z info login user=root",
        "x\r\x1b[2J\x00\x7f",
        "x\x85y\u2028z",
        "\u202egnp.exe",
        "müller@example.com",
        "\udcff",
    ],
)
def test_a_value_cannot_end_its_line_or_pass_for_another_fact(log: EventLog, path: Path, value: str) -> None:
    log.event("login", user=value, result="ok")
    line, nothing = path.read_text("utf-8").split("\n")
    assert not nothing
    assert line.isprintable()
    assert facts_of(line) == {"user": value, "result": "ok"}


@given(
    style=st.sampled_from(["text", "json"]),
    values=st.lists(st.text(st.characters(), min_size=1, max_size=30) | st.binary(min_size=1, max_size=30), max_size=4),
)
def test_whatever_the_values_an_event_is_one_printable_line(
    tmp_path_factory: pytest.TempPathFactory, style: Style, values: list[str | bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    descriptor = open_log(str(path))
    EventLog(descriptor, style).event("login", **{f"fact{at}": value for at, value in enumerate(values)})
    os.close(descriptor)
    line, nothing = path.read_text("utf-8").split("\n")
    assert not nothing
    assert line.isprintable()
    read = json.loads(line) if style == "json" else facts_of(line)
    texts = [value for value in values if isinstance(value, str)]
    assert [read[f"fact{at}"] for at, value in enumerate(values) if isinstance(value, str)] == texts


def test_a_very_long_value_is_cut(log: EventLog, path: Path) -> None:
    log.event("login", user="a" * 65536)
    assert len(path.read_text()) < 1100


def test_credentials_show_their_names_and_never_the_secret(log: EventLog, path: Path) -> None:
    log.event("login", given=Credentials("PLAIN", "alice", b"open sesame"), error=ValueError("wrong"))
    assert "alice" in path.read_text()
    assert "sesame" not in path.read_text()


def test_an_object_that_cannot_be_shown_costs_its_line_only(log: EventLog, path: Path) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    log.event("login", user=Mute())
    log.event("login", user="alice")
    assert path.read_text().endswith("08:00:00.123Z info login user=alice lost=1\n")


def test_lines_that_a_full_pipe_did_not_take_are_counted_on_the_next_one() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    log = EventLog(writing)
    count = 5000
    for number in range(count):
        log.event("login", number=number, filler="x" * 100)
    written = b""
    while True:
        try:
            written += os.read(reading, 65536)
        except BlockingIOError:
            break
    log.event("login", number=count)
    log.event("login", number=count + 1)
    lines = (written + os.read(reading, 65536)).decode().splitlines()
    numbers = [int(facts_of(line)["number"]) for line in lines]
    assert numbers == [*range(len(lines) - 2), count, count + 1]
    assert facts_of(lines[-2])["lost"] == str(count - (len(lines) - 2))
    assert "lost" not in facts_of(lines[-1])
    os.close(reading)
    log.event("login")
    os.close(writing)


def test_a_full_disk_loses_lines_and_tells_how_many_later(tmp_path: Path) -> None:
    full, later = os.open("/dev/full", os.O_WRONLY), tmp_path / "later"
    log = EventLog(full)
    log.event("login")
    log.event("login")
    log.reopen(open_log(str(later)))
    log.event("drain")
    log.event("drain")
    first, second = later.read_text().splitlines()
    assert facts_of(first) == {"lost": "2"}
    assert facts_of(second) == {}


def test_a_line_cut_short_does_not_swallow_the_next() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    log = EventLog(writing)
    log.event("login", **{f"filler{number}": "x" * 900 for number in range(9)})
    cut = os.read(reading, 65536)
    log.event("login", user="alice")
    log.event("login", user="bob")
    assert not cut.endswith(b"\n")
    nothing, *lines = os.read(reading, 65536).decode().splitlines()
    assert not nothing
    assert [facts_of(line) for line in lines] == [{"user": "alice", "lost": "1"}, {"user": "bob"}]
    os.close(reading)
    os.close(writing)


def test_reopening_goes_on_in_the_new_file_and_closes_the_old_descriptor(tmp_path: Path) -> None:
    path, moved = tmp_path / "mmp.log", tmp_path / "mmp.log.1"
    old = open_log(str(path))
    log = EventLog(old)
    log.event("login", number=1)
    path.rename(moved)
    log.event("login", number=2)
    log.reopen(new := open_log(str(path)))
    log.event("login", number=3)
    assert [line[-1] for line in moved.read_text().splitlines()] == ["1", "2"]
    assert path.read_text().endswith(" number=3\n")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(old, b"")
    os.close(new)


def test_several_processes_append_whole_lines_to_one_file(path: Path) -> None:
    program = (
        "from mmp.observe.log import EventLog, open_log; import os, sys\n"
        "log = EventLog(open_log(sys.argv[1]))\n"
        "for number in range(500): log.event('login', pid=os.getpid(), number=number, filler='x' * number)\n"
    )
    path.write_text("what was there before\n")
    writers = [subprocess.Popen([sys.executable, "-c", program, path], cwd=ROOT) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    before, *lines = path.read_text().splitlines()
    assert before == "what was there before"
    written = [facts_of(line) for line in lines]
    for writer in writers:
        numbers = [int(facts["number"]) for facts in written if facts["pid"] == str(writer.pid)]
        assert numbers == list(range(500))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_standard_error_that_nobody_reads_stops_nothing(kind: str) -> None:
    program = (
        "from mmp.observe.log import EventLog, open_log; import os\n"
        "log = EventLog(open_log())\n"
        "for number in range(5000): log.event('login', filler='x' * 100)\n"
        "print('through', os.get_blocking(2))\n"
    )
    ours, theirs = socket.socketpair() if kind == "socket" else map(os.fdopen, os.pipe(), "rw")
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=theirs, check=True, cwd=ROOT
        )
    assert done.stdout == b"through True\n"


def test_standard_error_that_is_a_file_keeps_what_else_is_printed_there(path: Path) -> None:
    program = (
        "from mmp.observe.log import EventLog, open_log; import os\n"
        "log = EventLog(open_log())\n"
        "for number in range(3): log.event('login', number=number); os.write(2, b'printed\\n')\n"
    )
    path.write_text("before\n")
    with path.open("r+b") as opened:  # not for appending, as with a shell's '2>'
        opened.seek(0, os.SEEK_END)
        subprocess.run([sys.executable, "-c", program], stderr=opened, check=True, cwd=ROOT)
    before, *lines = path.read_text().splitlines()
    assert before == "before"
    assert lines[1::2] == ["printed"] * 3
    assert [line[-1] for line in lines[::2]] == ["0", "1", "2"]


def test_a_path_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        open_log(str(tmp_path / "missing" / "mmp.log"))


def test_the_log_file_is_not_for_everybody_to_read(log: EventLog, path: Path) -> None:
    log.event("login")
    assert not path.stat().st_mode & 0o007
