import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.directory.entry import Entry
from mmp.directory.ldap.responses import (
    EXTENDED_RESPONSE,
    SEARCH_RESULT_DONE,
    SEARCH_RESULT_ENTRY,
    Messages,
    Result,
    open_message,
    read_entry,
    read_result,
)
from mmp.errors import RemoteProtocolError
from tests.directory.ldap import oracle

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ATTRIBUTES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), st.lists(TEXT, max_size=4))


def entry_in(message):
    number, tag, start, stop = open_message(message)
    assert tag == SEARCH_RESULT_ENTRY
    return number, read_entry(message, start, stop)


def taken(octets, chunk=1_000_000):
    """Return the messages in octets that are fed piece by piece."""
    messages, found = Messages(), []
    for start in range(0, len(octets), chunk):
        messages.feed(octets[start : start + chunk])
        while (message := messages.take()) is not None:
            found.append(message)
    return found


@given(st.integers(1, 2**31 - 1), TEXT, ATTRIBUTES)
def test_entries_are_read_as_ldap3_writes_them(number, name, attributes):
    octets = {attribute: [value.encode() for value in values] for attribute, values in attributes.items()}
    written = oracle.entry(number, name, octets)
    assert entry_in(written) == (number, Entry(name, {key: tuple(values) for key, values in attributes.items()}))


def test_attributes_are_named_in_lower_case():
    _, found = entry_in(oracle.entry(1, "", {"mailHost": [b"Store"]}))
    assert found.get("MAILHOST") == ("Store",)


def test_octets_that_are_no_text_stay_what_they_are_and_cannot_be_printed():
    _, found = entry_in(oracle.entry(1, "", {"mailHost": [b"store\xff"]}))
    (value,) = found.get("mailHost")
    assert value.encode("utf-8", "surrogateescape") == b"store\xff"
    assert not value.isprintable()


@given(st.sampled_from([0, 1, 4, 32, 49, 51, 80]), TEXT.filter(str.isprintable))
def test_results_are_read_as_ldap3_writes_them(code, diagnostic):
    message = oracle.done(7, code, diagnostic)
    number, tag, start, stop = open_message(message)
    assert (number, tag) == (7, SEARCH_RESULT_DONE)
    assert read_result(message, start, stop) == Result(code, diagnostic.strip())


def test_an_extended_response_has_its_name():
    message = oracle.extended(0, 52, "going down", oracle.NOTICE)
    _, tag, start, stop = open_message(message)
    assert tag == EXTENDED_RESPONSE
    assert str(read_result(message, start, stop)) == f"{oracle.NOTICE}: unavailable: going down"


def test_a_servers_words_are_safe_to_log():
    message = oracle.done(1, 1, "a\r\nlogin: ok\x1b[2J" + "x" * 10_000)
    _, _, start, stop = open_message(message)
    diagnostic = read_result(message, start, stop).diagnostic
    assert diagnostic.isprintable()
    assert len(diagnostic) <= 200


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 20))
def test_messages_are_the_same_however_they_come_in(names, chunk):
    sent = [oracle.entry(number, "", {"a": [name]}) for number, name in enumerate(names, 1)]
    assert taken(b"".join(sent), chunk) == sent


def test_what_is_left_over_is_known():
    messages = Messages()
    messages.feed(oracle.done(1) + b"\x30")
    assert messages.take() == oracle.done(1)
    assert messages.take() is None
    assert messages.pending


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "0x48 where"),
        (b"\x15\x03\x03\x00\x02\x02\x0a", "0x15 where"),
        (b"\x30\x80\x02\x01\x01\x65\x00\x00", "length of 0 octets"),
        (b"\x30\x85\x00\x00\x00\x00\x05", "length of 5 octets"),
        (b"\x30\xff\x01\x02\x03\x04", "length of 127 octets"),
        (b"\x30\x84\x7f\xff\xff\xff", "message of 2147483653 octets"),
        (b"\x30\x84\x00\x10\x00\x00", "message of 1048582 octets"),
    ],
)
def test_what_begins_no_message_is_told_at_once(octets, why):
    messages = Messages()
    messages.feed(octets)
    with pytest.raises(RemoteProtocolError, match=why):
        messages.take()


def test_the_largest_message_is_taken():
    octets = b"\x30\x84\x00\x0f\xff\xfa" + bytes(0xFFFFA)
    assert taken(octets, 65536) == [octets]


@pytest.mark.parametrize(
    "message",
    [
        b"\x30\x00",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x04\x02\x02\x01\x01",
        b"\x30\x05\x02\x00\x65\x01\x00",
        b"\x30\x07\x02\x05\x01\x01\x01\x01\x01",
        b"\x30\x05\x02\x01\x01\x65\x05",
        b"\x30\x05\x04\x01\x01\x65\x00",
        b"\x30\x06\x02\x01\x01\x65\x80\x00",
    ],
)
def test_a_message_that_cannot_be_opened_is_told(message):
    with pytest.raises(RemoteProtocolError):
        open_message(message)


def test_an_entry_cut_anywhere_is_told():
    whole = oracle.entry(1, "cn=a", {"mailHost": [b"store1", b"store2"], "uid": [b"a"]})
    _, _, start, stop = open_message(whole)
    complete = {stop}
    for end in range(start, stop):
        try:
            read_entry(whole, start, end)
        except RemoteProtocolError:
            continue
        complete.add(end)
    assert complete == {stop}


@given(st.binary(max_size=80))
def test_no_content_does_more_harm_than_an_error(octets):
    for read in (read_entry, read_result):
        try:
            read(octets, 0, len(octets))
        except RemoteProtocolError:
            pass


@given(st.data())
def test_no_flipped_octet_does_more_harm_than_an_error(data):
    octets = bytearray(oracle.entry(1, "cn=a", {"mailHost": [b"store1"], "uid": [b"a"]}))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    messages = Messages()
    messages.feed(bytes(octets))
    try:
        while (message := messages.take()) is not None:
            _, _, start, stop = open_message(message)
            read_entry(message, start, stop)
    except RemoteProtocolError:
        pass
