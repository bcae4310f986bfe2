"""Protocol cores without sockets, clocks or loggers: bytes in, events out, bytes out."""
