"""What an IMAP user is told whose store is away, and that the session goes on."""

import pytest

from tests.integration.client import connected
from tests.integration.people import ALICE, LOST

LOG_IN = b"a LOGIN %b %b" % (LOST.user.encode(), LOST.password)


def test_a_user_whose_store_is_away_is_alerted_and_another_may_log_in_on_the_same_connection(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        alert, refusal = client.command(LOG_IN)
        assert alert == b"* NO [ALERT] Your mail store is temporarily out of service."
        assert refusal.startswith(b"a NO [UNAVAILABLE] ")
        assert client.command(b"b NOOP")[-1].startswith(b"b OK")
        said = client.command(b"c LOGIN %b %b" % (ALICE.user.encode(), ALICE.password))
        assert said[-1].startswith(b"c OK")
        assert not any(b"ALERT" in line for line in said)


def test_authenticate_is_answered_likewise(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        alert, refusal = client.command(b"a AUTHENTICATE PLAIN " + LOST.sasl_plain)
        assert alert.startswith(b"* NO [ALERT] ")
        assert refusal.startswith(b"a NO [UNAVAILABLE] ")


def test_a_wrong_password_alerts_nobody(proxy, certificates):
    with connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client:
        (refusal,) = client.command(b"a LOGIN %b wrong" % ALICE.user.encode())
        assert refusal.startswith(b"a NO [AUTHENTICATIONFAILED]")


@pytest.mark.parametrize("text", ["", "Back at noon, see [status] page."])
def test_the_text_is_the_operators(run_proxy, stores, certificates, text):
    with (
        run_proxy(stores.port, outage={"imap_alert": text}) as proxy,
        connected("127.0.0.1", proxy.port("implicit"), certificates.ca) as client,
    ):
        *alerts, refusal = client.command(LOG_IN)
        assert alerts == ([b"* NO [ALERT] " + text.encode()] if text else [])
        assert refusal.startswith(b"a NO [UNAVAILABLE] ")
