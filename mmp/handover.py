"""What crosses from a program to the one that is executed in its place: a memory file, and descriptors that it names.

The file holds builtin types alone, whatever the versions on both sides, and is read with nothing else.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
"""What the file means; both sides must have the same."""
_VARIABLE: Final = "MMP_HANDOVER"


def memory_file(name: str, octets: bytes = b"") -> int:
    """Return a descriptor of a new file in memory that holds this."""
    descriptor = os.memfd_create(name)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(octets)
    return descriptor


def content(descriptor: int) -> bytes:
    """Return what a file holds, whatever its position."""
    return Path(f"/proc/self/fd/{descriptor}").read_bytes()


def kept(descriptor: int) -> int:
    """Have a descriptor stay open in the next program; return it."""
    os.set_inheritable(descriptor, True)  # noqa: FBT003 - the standard library's signature
    return descriptor


def taken(descriptor: int) -> int:
    """Keep a descriptor that has crossed from other programs that are started; return it."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    return descriptor


def leave(state: Mapping[str, Any]) -> dict[str, str]:
    """Put the state in a file for the next program; return the variables of its environment that tell of it."""
    return {_VARIABLE: str(kept(memory_file("mmp-handover", pickle.dumps(state))))}


def forget(variables: Mapping[str, str]) -> None:
    """Close the file that ``leave`` has made: there is no next program."""
    os.close(int(variables[_VARIABLE]))


def take(environment: MutableMapping[str, str]) -> dict[str, Any] | None:
    """Return the state that was left for us, and forget where it was; None if none was."""
    named = environment.pop(_VARIABLE, "")
    if not named:
        return None
    descriptor = int(named)
    try:
        state: dict[str, Any] = _Builtins(io.BytesIO(content(descriptor))).load()
    finally:
        os.close(descriptor)
    return state


class _Builtins(pickle.Unpickler):
    """Knows no class, and so runs no code."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse it."""
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a handover")
