"""Tells twistd about us."""

from twisted.application.service import ServiceMaker

mmp = ServiceMaker("mmp", "mmp.tap", "Multiplexing proxy for IMAP, POP3 and mail submission", "mmp")
