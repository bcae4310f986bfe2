"""Measures what mail proxies cost: the parts of ``scripts/bench``."""
