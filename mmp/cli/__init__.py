"""The ``mmp`` command."""
