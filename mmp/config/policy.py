"""Who else is asked about logins: the table of the policy service."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mmp.config.kinds import HTTPURL, File, Timeout


@frozen(kw_only=True)
class Policy:
    """``[policy]``: an outside service that is asked before each login and told after it, such as weakforced."""

    url: HTTPURL = ""
    """Where it is asked, by adding command=allow or command=report to the query; empty means nowhere."""

    ca: File = ""
    """CA certificates in PEM that may have signed the service's; empty means the system's trust."""

    secret_file: File = ""
    """File that holds the password for the user wforce; one newline at its end is ignored; empty means none is said."""

    nonce_file: File = ""
    """File that holds what is hashed before name and password, the same for all who ask; empty means nothing is."""

    timeout: Timeout = 2.0
    """For connecting and the answer together."""

    on_failure: Literal["allow", "refuse"] = "allow"
    """What becomes of logins while there is no answer."""
