import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type.univ import Integer, OctetString

from mmp.directory.ldap.ber import INTEGER, OCTET_STRING, content, element, integer, number, size_of
from mmp.errors import RemoteProtocolError


def read_octets(octets, tag=OCTET_STRING):
    start, stop = content(octets, 0, len(octets), tag)
    return octets[start:stop]


@given(st.binary(max_size=300))
def test_octet_strings_are_written_as_pyasn1_writes_them(value):
    assert element(OCTET_STRING, value) == encoder.encode(OctetString(value))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 2**24 - 1, 2**24])
def test_every_size_of_length_is_written_and_read(size):
    written = element(OCTET_STRING, bytes(size))
    assert written == encoder.encode(OctetString(bytes(size)))
    assert read_octets(written) == bytes(size)
    assert size_of(written + bytes(6), OCTET_STRING) == len(written)


@given(st.integers(0, 2**31 - 1))
def test_integers_are_written_as_pyasn1_writes_them_and_read_back(value):
    written = integer(value)
    assert written == encoder.encode(Integer(value))
    assert number(written, *content(written, 0, len(written), INTEGER)) == value


@given(st.binary(max_size=300), st.integers(0, 4))
def test_a_length_longer_than_it_need_be_is_read(value, octets):
    size = len(value).to_bytes(4, "big")
    written = bytes((OCTET_STRING, 0x84)) + size + value
    assert read_octets(written) == value == bytes(decoder.decode(written)[0])
    assert size_of(written + bytes(octets), OCTET_STRING) == len(written)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no element"),
        (b"\x04", "no element"),
        (b"\x04\x01", "cut off"),
        (b"\x04\x7fabc", "cut off"),
        (b"\x30\x00", "no element 0x04"),
        (b"\x04\x80abc\x00\x00", "length of 0 octets"),
        (b"\x04\x85\x00\x00\x00\x00\x01a", "length of 5 octets"),
        (b"\x04\xff" + b"\xff" * 127, "length of 127 octets"),
        (b"\x04\x84\xff\xff\xff\xff", "cut off"),
        (b"\x04\x82", "cut off"),
        (b"\x04\x82\x01", "cut off"),
    ],
)
def test_what_is_no_element_is_told(octets, why):
    with pytest.raises(RemoteProtocolError, match=why):
        read_octets(octets)


def test_an_element_must_not_go_on_behind_the_one_around_it():
    with pytest.raises(RemoteProtocolError, match="cut off"):
        content(b"\x04\x04abcdef", 0, 5, OCTET_STRING)


def test_a_negative_number_is_read_as_one():
    assert number(b"\xff\xfe", 0, 2) == -2


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_a_number_of_no_octets_or_too_many_is_told(size):
    with pytest.raises(RemoteProtocolError, match="number of"):
        number(bytes(size), 0, size)


@given(st.binary(max_size=64), st.integers(0, 255))
def test_no_octets_do_more_harm_than_an_error(octets, tag):
    try:
        start, stop = content(octets, 0, len(octets), tag)
    except RemoteProtocolError:
        return
    assert 2 <= start <= stop <= len(octets)
