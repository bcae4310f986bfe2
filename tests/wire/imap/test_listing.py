"""What a client hears of a store's capabilities where a guard keeps some of them back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.wire.imap.listing import NAME_LIMIT, Listing
from tests.strategies import cut
from tests.wire.imap.test_guard import REFUSED, UNAUTHENTICATE, watching

HELD_BACK = [b"COMPRESS=DEFLATE", b"compress=deflate", b"COMPRESS=X", b"UNAUTHENTICATE", b"XPROXYAUTH", b"proxyauth"]
OTHERS = [b"IMAP4rev1", b"IDLE", b"COMPRESS", b"X-COMPRESS=DEFLATE", b"UNAUTHENTICATED", b"AUTH=PLAIN", b"x" * 200]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE IDLE\r\n", b"* CAPABILITY IMAP4rev1 IDLE\r\n"),
        (b"* CAPABILITY IMAP4rev1 UNAUTHENTICATE COMPRESS=DEFLATE\r\n", b"* CAPABILITY IMAP4rev1\r\n"),
        (b"* capability COMPRESS=DEFLATE\r\n", b"* capability\r\n"),
        (b"* OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] new\r\n", b"* OK [CAPABILITY IMAP4rev1] new\r\n"),
        (b"a7 OK [CAPABILITY COMPRESS=DEFLATE IDLE] new\r\n", b"a7 OK [CAPABILITY IDLE] new\r\n"),
        (b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\n", b"* CAPABILITY IMAP4rev1\n"),
    ],
)
def test_a_list_is_without_what_is_not_to_be_had(said, heard):
    assert Listing().passed(said) == heard


@pytest.mark.parametrize(
    "said",
    [
        b"* CAPABILITY IMAP4rev1 IDLE COMPRESS\r\n",
        b"* LIST () NIL COMPRESS=DEFLATE \r\n",
        b"* CAPABILITY2 COMPRESS=DEFLATE \r\n",
        b"* NO [ALERT] COMPRESS=DEFLATE is off\r\n",
        b"a OK [COMPRESSIONACTIVE] COMPRESS=DEFLATE \r\n",
        b"x CAPABILITY COMPRESS=DEFLATE \r\n",
        b"* OK CAPABILITY\r\n",
        b"\r\n",
        b" " * 200 + b"* CAPABILITY COMPRESS=DEFLATE \r\n",
    ],
)
def test_what_is_no_list_passes(said):
    assert Listing().passed(said) == said


@given(
    st.lists(st.sampled_from(HELD_BACK + OTHERS)),
    st.sampled_from([b"* CAPABILITY%b\r\n", b"* OK [CAPABILITY%b] x\r\n", b"t9 OK [capability%b]\r\n"]),
    st.sets(st.integers(0, 400)),
)
def test_chunks_make_no_difference_and_no_more_than_a_name_is_kept(names, line, places):
    said = line % b"".join(b" " + name for name in names)
    expected = line % b"".join(b" " + name for name in names if name not in HELD_BACK)
    listing, heard = Listing(), b""
    for chunk in cut(said, places):
        heard += listing.passed(chunk)
        assert len(listing._kept) <= NAME_LIMIT
    assert heard == expected
    assert listing.passed(b"* LIST COMPRESS=DEFLATE x\r\n") == b"* LIST COMPRESS=DEFLATE x\r\n"


def test_the_guard_takes_them_out_of_lists_and_out_of_nothing_else():
    watched = watching()
    mail = b"* 1 FETCH (BODY[] {40}\r\n* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE\r\n)\r\n"
    said = b"* CAPABILITY IMAP4rev1 COMPRESS=DEFLATE UNAUTHENTICATE IDLE\r\n" + mail + b"a OK done\r\n"
    heard = b"* CAPABILITY IMAP4rev1 IDLE\r\n" + mail + b"a OK done\r\n"
    assert watched.from_store(said) == heard
    watched = watching()
    assert b"".join(watched.from_store(bytes([octet])) for octet in said) == heard


def test_a_refusal_has_its_place_behind_such_a_list():
    watched = watching()
    assert watched.from_store(b"* CAPABILITY IDLE COMP") == b"* CAPABILITY IDLE"
    watched.from_client(UNAUTHENTICATE)
    assert watched.answers() == b""
    assert watched.from_store(b"RESS=DEFLATE\r\n") == b"\r\n" + REFUSED
