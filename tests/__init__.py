"""The tests; run them with `scripts/test`, or a part with `pytest tests/wire` and the like."""
