"""What crosses from one program to the next."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import pytest

from mmp.handover import content, kept, leave, memory_file, take, taken

STATE = {"numbers": [1, 2.5, float("inf")], "octets": b"\0\xff", "held": [(7, [("per_user", "alice", 3, False)])]}


def test_what_is_left_is_taken_once():
    environment = {"PATH": "/bin"} | leave(STATE)
    (descriptor,) = (int(value) for name, value in environment.items() if name != "PATH")
    assert take(environment) == STATE
    assert environment == {"PATH": "/bin"}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_where_nothing_was_left_nothing_is_taken():
    assert take({"PATH": "/bin"}) is None


def test_classes_do_not_cross():
    environment = leave({"ordered": OrderedDict(a=1)})
    with pytest.raises(pickle.UnpicklingError, match=r"collections\.OrderedDict has no place"):
        take(environment)


def test_a_descriptor_crosses_if_it_is_kept_and_no_further_once_it_is_taken():
    descriptor = memory_file("test", b"octets")
    try:
        assert read_by_another(descriptor) != b"octets"
        assert read_by_another(kept(descriptor)) == b"octets"
        assert read_by_another(taken(descriptor)) != b"octets"
        assert content(descriptor) == content(descriptor) == b"octets"
    finally:
        os.close(descriptor)


def read_by_another(descriptor):
    """Return what another program finds in a descriptor of ours."""
    program = "import os, sys; os.write(1, os.pread(int(sys.argv[1]), 100, 0))"
    command = [sys.executable, "-c", program, str(descriptor)]
    return subprocess.run(command, capture_output=True, close_fds=False, timeout=60, check=False).stdout
