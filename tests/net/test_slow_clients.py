"""Clients that say a byte a second, or nothing more: the clock is turned, and the deadline ends them."""

from tests.net.listener import DEADLINE, client_hello, under_tls

WORDS = b"a LOGIN alice " + b"s" * 200


def drip(scene, clock, peer, octets):
    """Send a byte a second until the session has ended; return how many seconds that took."""
    for seconds, octet in enumerate(octets):
        if scene.log.named("closed"):
            return seconds
        peer.send(bytes([octet]))
        clock.tick()
    return None


def test_a_login_of_a_byte_a_second_is_said_goodbye_to_at_the_deadline(scene, clock):
    peer = scene.client()
    seconds = drip(scene, clock, peer, WORDS)
    assert DEADLINE - 2 <= seconds <= DEADLINE + 2
    assert b"* BYE" in peer.rest()
    peer.close()
    (closed,) = scene.closed()
    assert (closed["who"], closed["why"]) == ("proxy", "login deadline")


def test_a_handshake_of_a_byte_a_second_is_cut_off_at_the_deadline(scene, clock):
    peer = under_tls(scene)
    seconds = drip(scene, clock, peer, client_hello())
    assert DEADLINE - 2 <= seconds <= DEADLINE + 2
    (closed,) = scene.closed()
    assert (closed["who"], closed["why"]) == ("proxy", "login deadline")
    peer.close()


def test_a_handshake_that_stops_in_the_middle_is_cut_off_at_the_deadline(scene, clock):
    peer = under_tls(scene)
    peer.send(client_hello())
    assert peer.receive(1) == b"\x16"  # we have answered, and wait
    while not scene.log.named("closed"):
        clock.tick()
    assert clock.skipped <= DEADLINE + 2
    assert scene.closed()[0]["why"] == "login deadline"
    peer.close()


def test_who_logs_in_a_byte_a_second_within_the_deadline_is_let_in(scene, clock):
    peer = scene.client()
    assert drip(scene, clock, peer, b"a LOGIN alice s3cret-of-alice\r\n") is None
    scene.turning.until(lambda: scene.attempts)
    peer.close()
    scene.closed()
