"""Decisions without clocks or sockets: time is an argument."""
