"""The references leave nothing out."""

from __future__ import annotations

import ast
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from mmp.cli.main import COMMANDS
from mmp.model import CLEAR, Client, Endpoint, Refusal, Service
from mmp.session.record import Record

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
RECORD = Record(Client("a1", Service.IMAP, Endpoint("::1", 1), Endpoint("::1", 2), CLEAR), 0.0)


def written_events() -> Iterator[tuple[str, set[str]]]:
    """Return each event that the source writes, with the fields that are named there."""
    for path in (ROOT / "mmp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Attribute(_, "event"), [ast.Constant(str(name)), *_], keywords):
                    yield name, {keyword.arg for keyword in keywords if keyword.arg}
                case ast.Call(ast.Attribute(_, "tell"), [ast.Constant(str(name)), _level, _facts]):
                    yield name, set()
                case ast.Call(ast.Name("Availability"), [ast.Constant(str(name)), *_]):
                    yield name, {"url", "reason"}


def sections(document: str) -> dict[str, str]:
    """Return what stands below each heading that is a name in code, by that name."""
    parts = re.split(r"^#+ (?:`(.*)`|.*)$", (REFERENCE / document).read_text("utf-8"), flags=re.MULTILINE)
    return {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name}


def test_every_event_is_described_with_its_fields() -> None:
    described = sections("log.md")
    for name, fields in written_events():
        assert name in described, name
        assert not {field for field in fields - RECORD.facts().keys() if f"`{field}`" not in described[name]}, name


def test_every_event_described_is_written() -> None:
    assert sections("log.md").keys() == {name for name, _ in written_events()}


def test_the_fields_of_a_session_are_described() -> None:
    about = (REFERENCE / "log.md").read_text("utf-8").partition("## Events")[0]
    assert not {field for field in RECORD.facts() if f"`{field}`" not in about}
    told_at_the_end = (Record(RECORD.client, 0.0).finish(1.0, "client", "logged out") or {}).keys()
    own = told_at_the_end - RECORD.facts().keys()
    assert not {field for field in own if f"`{field}`" not in sections("log.md")["closed"]}


def test_every_refusal_is_described() -> None:
    text = (REFERENCE / "log.md").read_text("utf-8").partition("## Refusals")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)[1:] == [refusal.value for refusal in Refusal]


def test_every_command_is_described_with_its_options() -> None:
    described = sections("commands.md")
    for command in COMMANDS:
        parser = ArgumentParser(add_help=False)
        command.add_arguments(parser)
        options = re.findall(r"--[a-z-]+", parser.format_usage())
        assert not [option for option in options if option not in described[f"mmp {command.name}"]]
