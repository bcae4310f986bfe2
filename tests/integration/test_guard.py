"""A store where one could become somebody else, and the proxy before it."""

import re
import select
import socket
import zlib

import pytest

from tests.integration.client import Client, connected
from tests.integration.people import ALICE, FIRST
from tests.integration.scripted import log_in, scripted

UNAUTHENTICATE = b"x UNAUTHENTICATE\r\n"


@pytest.mark.parametrize("capability", [b"UNAUTHENTICATE", b"IDLE"])
def test_unauthenticate_does_not_reach_a_store_that_has_it(run_proxy, ports, certificates, capability):
    port, heard = ports.free(), []

    def store(client):
        log_in(client, capabilities=b"IMAP4rev1 LITERAL+ " + capability)
        while line := client.line():
            heard.append(line)
            if literal := re.search(rb"\{([0-9]+)(\+?)\}$", line):
                client.send(b"" if literal[2] else b"+ go\r\n")
                heard.append(client.exactly(int(literal[1])))
                line += client.line()
            listed = b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE " + capability + b"\r\n"
            client.send(listed * (b"CAPABILITY" in line) + line.split()[0] + b" OK done\r\n")

    with (
        scripted(FIRST, port, store),
        run_proxy(port) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        client.command(b'a LOGIN alice@example.com "%b"' % ALICE.password)
        client.send(
            b"b NOOP\r\n"
            + UNAUTHENTICATE
            + b"c APPEND INBOX {%d+}\r\n" % len(UNAUTHENTICATE)
            + UNAUTHENTICATE
            + b"\r\n"
        )
        answers = {client.line() for _ in range(3)}
        client.send(b"e APPEND INBOX {%d}\r\n" % len(UNAUTHENTICATE) + UNAUTHENTICATE + b"\r\nf NOOP\r\n")
        assert [client.line() for _ in range(3)] == [b"+ go", b"e OK done", b"f OK done"]
        listed, _ = client.command(b"d CAPABILITY")
    guarded = capability == b"UNAUTHENTICATE"
    assert answers == {b"b OK done", b"c OK done", b"x NO [CANNOT] Not available here" if guarded else b"x OK done"}
    assert heard.count(UNAUTHENTICATE.strip()) == (not guarded)
    assert heard.count(UNAUTHENTICATE) == 2
    assert listed.split()[2:] == [b"IMAP4rev1", *([] if guarded else [b"COMPRESS=DEFLATE", capability])]


@pytest.mark.parametrize(
    "announced",
    [b"CHECK {14+}", b"SEARCH ) {14+}", b"SEARCH ~{14+}", b"APPEND INBOX (\\Recent) {14+}", b"APPEND INBOX {14+}"],
)
def test_no_literal_is_a_command_to_dovecot(run_proxy, ports, certificates, stores, announced):
    port = ports.free()

    def watched_store(client):
        log_in(client, capabilities=b"IMAP4rev1 LITERAL+ UNAUTHENTICATE")
        with socket.create_connection((FIRST, stores.port)) as dovecot:
            real = Client(dovecot)
            real.until(b" ready.\r\n")
            real.command(b'a LOGIN %b "%b"' % (ALICE.name.encode(), ALICE.password))
            real.command(b"a SELECT INBOX")
            across = {client.connection: dovecot, dovecot: client.connection}
            while True:
                for end in select.select(across, [], [])[0]:
                    if not (octets := end.recv(65536)):
                        return
                    across[end].sendall(octets)

    with (
        scripted(FIRST, port, watched_store),
        run_proxy(port) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        client.command(b'a LOGIN alice@example.com "%b"' % ALICE.password)
        client.send(b"x " + announced + b"\r\ny CAPABILITY\r\n\r\nz NOOP\r\n")
        tags = [line.split()[0] for line in client.answer(b"z")]
    assert [tag for tag in tags if tag != b"*"] == [b"x", b"z"]


def test_a_session_that_nobody_watches_is_compressed_from_end_to_end(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        client.command(b'a LOGIN alice@example.com "%b"' % ALICE.password)
        assert b" COMPRESS=DEFLATE " in client.command(b"a CAPABILITY")[0] + b" "
        assert client.command(b"b COMPRESS DEFLATE")[-1].startswith(b"b OK")
        squeeze, unsqueeze = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        client.send(squeeze.compress(b"c SELECT INBOX\r\n") + squeeze.flush(zlib.Z_SYNC_FLUSH))
        heard = b""
        while b"\r\nc OK " not in heard:
            heard += unsqueeze.decompress(client.exactly(1))
