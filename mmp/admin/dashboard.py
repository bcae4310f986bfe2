"""The page for a browser, and what it shows as JSON: how the proxy is, its workers, its stores; of no user, and nobody.

Users and addresses are told over the control socket alone, since everybody on this machine may ask here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from attrs import frozen

from mmp.admin.control import Serve
from mmp.admin.http import Page, Reply

NOBODY: Final = -1
"""Whoever asks here gives no orders."""
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>mmp</title>
<style>
body {{ font: 15px system-ui, sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
th, td {{ text-align: left; padding: 0.2em 1.5em 0.2em 0; border-bottom: 1px solid #ccc; }}
.bad {{ color: #b00; font-weight: bold; }}
</style></head><body>
<h1>mmp {version}</h1>
<p>{state}, process {pid} since {started}, {sessions} sessions</p>
{tables}
</body></html>
"""


@frozen
class Dashboard:
    """Makes the pages; ``serve`` does what commands do."""

    serve: Serve

    def pages(self) -> dict[str, Page]:
        """Return them by their paths."""
        return {"/": self.page, "/api/status": self.status, "/api/backends": self.backends}

    async def status(self) -> Reply:
        """Tell what ``mmp status --json`` does."""
        return _json((await self._ask("status"))[0])

    async def backends(self) -> Reply:
        """Tell what ``mmp backends --json`` does."""
        return _json((await self._ask("backends"))[1])

    async def page(self) -> Reply:
        """Show both to somebody who looks."""
        status, _ = await self._ask("status")
        _, stores = await self._ask("backends")
        facts = {name: escape(str(status[name])) for name in ("version", "pid", "started", "sessions")}
        state = '<span class="bad">draining</span>' if status["draining"] else "serving"
        tables = "\n".join((_parts(status), _workers(status["workers"]), _stores(stores)))
        html = _PAGE.format(state=state, tables=tables, **facts)
        return Reply(200, "text/html; charset=utf-8", html.encode())

    async def _ask(self, command: str) -> tuple[Mapping[str, Any], list[Any]]:
        """Return the end of the answer, and what came before it."""
        rows: list[Any] = []

        async def keep(page: bytes) -> None:
            rows.extend(json.loads(page))

        return await self.serve({"command": command}, NOBODY, keep), rows


def _parts(status: Mapping[str, Any]) -> str:
    directory, shared = status["directory"], status["shared"]
    rows = [("directory", directory["up"], "; ".join(f"{url}: {why}" for url, why in directory["down"].items()))]
    rows.append(("shared state", shared["up"], shared["why"]))
    return _table(("part", "state", "why"), ((name, _up(up=up), escape(why)) for name, up, why in rows))


def _workers(workers: Iterable[Mapping[str, Any]]) -> str:
    names = ("pid", "state", "sessions")
    return _table(("worker", *names[1:]), ([escape(str(each[name])) for name in names] for each in workers))


def _stores(stores: Iterable[Mapping[str, Any]]) -> str:
    rows = (
        (
            escape(each["backend"]),
            escape(each["service"]),
            "disabled" if each["disabled"] else _up(up=each["up"]),
            str(each["sessions"]),
            escape(each["why"]),
        )
        for each in stores
    )
    return _table(("store", "service", "state", "sessions", "why"), rows)


def _up(*, up: bool) -> str:
    return "up" if up else '<span class="bad">down</span>'


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; the cells are HTML."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _json(value: object) -> Reply:
    return Reply(200, "application/json", json.dumps(value).encode() + b"\n")
