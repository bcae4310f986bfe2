"""fail2ban's filter finds who guesses in the real log, and nobody else."""

import subprocess
from base64 import b64decode
from pathlib import Path

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, FIRST, SECOND
from tests.integration.scripted import GREETING, scripted
from tests.integration.waiting import until

FILTER = Path(__file__).parents[2] / "conf" / "fail2ban" / "filter.conf"
FORGED = b'x client=203.0.113.9:1 "client":"203.0.113.9:1'


def judging(client):
    """Be a store that knows one password, and says to others what is no field of a log."""
    client.send(GREETING)
    while True:
        tag, _, command = client.line().partition(b" ")
        name, _, said = command.partition(b" PLAIN ")
        is_wrong = name == b"AUTHENTICATE" and ALICE.password not in b64decode(said)
        client.send(tag + (b" NO " + FORGED if is_wrong else b" OK done") + b"\r\n")


def found(log):
    """Return the addresses that fail2ban would count, one for each line."""
    command = ["fail2ban-regex", "--out", "ip", str(log), str(FILTER)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("style", ["text", "json"])
def test_wrong_passwords_and_unknown_users_are_found_and_nobody_else(run_proxy, ports, style):
    port = ports.free()
    settings = {"login": {"restrict_plain_passwords": False}, "log": {"format": style, "level": "debug"}}
    with scripted(FIRST, port, judging), scripted(SECOND, port, judging), run_proxy(port, **settings) as proxy:
        attempts = [
            ("127.0.0.21", b"alice@example.com", ALICE.password, b"OK"),
            ("127.0.0.22", b"alice@example.com", b"wrong", b"NO"),
            ("127.0.0.23", b"nobody@example.com", b"wrong", b"NO"),
            ("127.0.0.24", FORGED.replace(b'"', b'\\"'), b"wrong", b"NO"),
            ("127.0.0.25", b"lost@example.com", b"wrong", b"NO"),  # whose store is away
        ]
        for source, user, password, answer in attempts:
            with connected("127.0.0.1", proxy.port("starttls"), source=source) as client:
                told = client.command(b'a LOGIN "%b" %b' % (user, password))
                assert told[-1].startswith(b"a " + answer)
        with connected("::1", proxy.port("starttls", "::1")) as client:
            client.command(b"a LOGIN nobody wrong")
        until(lambda: proxy.log().count("login") > len(attempts), "all is logged")
        assert found(proxy.directory / "log") == ["127.0.0.22", "127.0.0.23", "127.0.0.24", "::1"]


def test_what_is_in_quotes_is_no_field(tmp_path):
    start = "2026-11-24T08:00:00.123Z info login result=bad-credentials"
    end = "session=a service=imap client=192.0.2.7:1 server=192.0.2.1:2 user=b"
    lines = [
        f'{start} reason="store: client=203.0.113.9:1 " {end}',
        f'{start} reason="a \\" client=203.0.113.9:1 " {end}',
        f"{start} reason=unknown limit=3 {end}",
        f"2026-11-24T08:00:00.123Z info login result=ok {end}",
        f"2026-11-24T08:00:00.123Z info closed {end}",
    ]
    (tmp_path / "log").write_text("\n".join(lines) + "\n")
    assert found(tmp_path / "log") == ["192.0.2.7"] * 3
