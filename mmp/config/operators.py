"""What operators have of a running proxy: the tables of administration and of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

from mmp.config.kinds import ControlSocket, File, ListenAddress
from mmp.config.spellings import parse_endpoint
from mmp.model import Endpoint

_STATE: Final = "/var/lib/mmp"
"""Where systemd keeps what a service has to remember, if it does not say so itself."""


@frozen(kw_only=True)
class Admin:
    """``[admin]``: how operators reach a running proxy."""

    control: ControlSocket = "unix:/run/mmp/control.sock"
    """Socket for the commands of mmp, open to the proxy's own user and root; empty means none."""

    http: ListenAddress = ""
    """Where monitoring finds /metrics, /healthz and /readyz; empty means nowhere."""

    token_file: File = ""
    """File that holds what monitoring has to show, as Authorization: Bearer …; needed unless http is on loopback."""

    state: File = ""
    """File in which bans outlive a restart; empty means state in $STATE_DIRECTORY, else /var/lib/mmp/state."""

    def state_path(self, environment: Mapping[str, str]) -> str:
        """Return where that file is, for a service that systemd has given this environment."""
        return self.state or environment.get("STATE_DIRECTORY", _STATE).partition(":")[0] + "/state"

    @property
    def control_path(self) -> str:
        """Where that socket is."""
        return self.control.removeprefix("unix:")

    @property
    def http_endpoint(self) -> Endpoint | None:
        """Where monitoring finds us, None if nowhere."""
        return parse_endpoint(self.http) if self.http else None


@frozen(kw_only=True)
class Log:
    """``[log]``: what is written, and how."""

    format: Literal["text", "json"] = "text"
    """One line of text or one JSON object for each event."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least severity that is written."""
