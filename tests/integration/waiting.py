"""Waiting for something to become true, with a bound that only a failure reaches."""

import time

PATIENCE = 30


def until(condition, what, patience=PATIENCE):
    """Return the first true value of ``condition()``."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.02)
    return value
