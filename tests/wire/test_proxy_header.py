"""The PROXY protocol as it is written down, what may not be taken for it, and that reading undoes writing."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import CLEAR, Endpoint, Security
from mmp.wire.proxy_header import LIMIT, V1_LIMIT, Header, parse, render_v1, render_v2, size

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
CLIENT, OURS = Endpoint("192.168.0.1", 56324), Endpoint("192.168.0.11", 443)
CLIENT6, OURS6 = Endpoint("2001:db8::7", 51234), Endpoint("2001:db8::1", 993)
TLS = Security("TLSv1.3", "TLS_AES_256_GCM_SHA384")
ADDRESSES4 = bytes([192, 168, 0, 1, 192, 168, 0, 11]) + struct.pack("!HH", 56324, 443)


def v2(content=ADDRESSES4, command=0x21, family=0x11):
    return SIGNATURE + bytes([command, family]) + len(content).to_bytes(2) + content


def tlv(kind, octets):
    return bytes([kind]) + len(octets).to_bytes(2) + octets


# As the specification has it


def test_the_example_of_version_1_in_the_specification():
    line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    assert size(line + b"GET / HTTP/1.1\r\n") == len(line)
    assert parse(line) == Header(CLIENT, OURS)
    assert render_v1(Header(CLIENT, OURS)) == line


def test_the_longest_lines_of_the_specification_are_read():
    full = "ffff:" * 7 + "ffff"
    for line, expected in (
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", 56),
        (f"PROXY TCP6 {full} {full} 65535 65535\r\n".encode(), 104),
        (f"PROXY UNKNOWN {full} {full} 65535 65535\r\n".encode(), V1_LIMIT),
    ):
        assert size(line) == len(line) == expected
        parse(line)


def test_version_2_over_ipv4_octet_by_octet():
    assert render_v2(Header(CLIENT, OURS)) == v2()
    assert parse(v2()) == Header(CLIENT, OURS)


def test_version_2_over_ipv6_octet_by_octet():
    addresses = bytes.fromhex("20010db8000000000000000000000007 20010db8000000000000000000000001")
    header = v2(addresses + struct.pack("!HH", 51234, 993), family=0x21)
    assert render_v2(Header(CLIENT6, OURS6)) == header
    assert parse(header) == Header(CLIENT6, OURS6)


def test_version_2_with_tls_facts_octet_by_octet():
    facts = tlv(0x21, b"TLSv1.3") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")
    header = v2(ADDRESSES4 + tlv(0x05, b"a1") + tlv(0x20, b"\x01\0\0\0\x01" + facts))
    assert render_v2(Header(CLIENT, OURS, TLS, b"a1")) == header
    assert parse(header) == Header(CLIENT, OURS, TLS, b"a1")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN whatever it says\r\n",
        v2(b"", command=0x20, family=0),
        v2(command=0x20),
        v2(b"\xff" * 40, command=0x20, family=0xFF),
        v2(b"", family=0x00),
        v2(b"what it says does not matter", family=0x00),
        v2(b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0"), family=0x31),
        v2(family=0x12),
    ],
    ids=["v1", "v1 with more", "local", "local, addresses", "local, garbage", "unspec", "unspec, more", "unix", "udp"],
)
def test_a_connection_of_the_senders_own_or_for_no_address_that_we_know_keeps_its_addresses(header):
    assert size(header + b"a NOOP\r\n") == len(header)
    assert parse(header) is None


def test_values_of_no_interest_are_passed_over():
    padding = tlv(0x04, bytes(7)) + tlv(0x03, b"crc!") + tlv(0x30, b"netns") + tlv(0xEA, b"a cloud's") + tlv(0xF8, b"")
    assert parse(v2(ADDRESSES4 + padding)) == Header(CLIENT, OURS)
    assert parse(v2(ADDRESSES4 + tlv(0x01, b"imap") + padding + tlv(0x02, b"mail.example"))) == Header(
        CLIENT, OURS, alpn=b"imap", authority=b"mail.example"
    )


def test_a_client_that_has_no_tls_is_told_apart():
    assert parse(v2(ADDRESSES4 + tlv(0x20, b"\0\0\0\0\x01"))) == Header(CLIENT, OURS, CLEAR)


def test_ipv4_within_ipv6_is_shown_as_ipv4():
    mapped = bytes(10) + b"\xff\xff"
    content = mapped + ADDRESSES4[:4] + mapped + ADDRESSES4[4:8] + ADDRESSES4[8:]
    assert parse(v2(content, family=0x21)) == Header(CLIENT, OURS)
    assert parse(b"PROXY TCP6 ::ffff:192.168.0.1 ::ffff:c0a8:b 56324 443\r\n") == Header(CLIENT, OURS)


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_two_families_are_told_as_ipv6(render):
    assert parse(render(Header(CLIENT, OURS6))) == Header(CLIENT, OURS6)
    assert parse(render(Header(CLIENT6, OURS))) == Header(CLIENT6, OURS)


def test_a_zone_is_left_out():
    assert b" fe80::1 " in render_v1(Header(Endpoint("fe80::1%eth0", 1), OURS6))
    assert parse(render_v2(Header(Endpoint("fe80::1%eth0", 1), OURS6))) == Header(Endpoint("fe80::1", 1), OURS6)


# What is no header


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \xd9\xa2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
        b"PROXY UNKNOWN \n \r\n",
        b"PROXY TCP4 \0 5.6.7.8 1 2\r\n",
    ],
)
def test_a_malformed_line_is_refused(line):
    assert size(line) == len(line)
    with pytest.raises(RemoteProtocolError):
        parse(line)


@pytest.mark.parametrize(
    "octets",
    [
        b"a LOGIN user secret\r\n",
        b"P\r\n",
        b"PROXY\r\n",
        b"PROXY\tTCP4 ",
        b"proxy TCP4 ",
        b"\r\n\r\n\0\r\nQUIT\r\n",
        b"\x16\x03\x01",
        b"\0",
        b"\r\nPROXY TCP4 ",
    ],
)
def test_what_cannot_become_a_header_is_refused_at_its_first_wrong_octet(octets):
    with pytest.raises(RemoteProtocolError, match="no PROXY header"):
        size(octets)


def test_a_line_without_an_end_is_given_up():
    line = b"PROXY UNKNOWN " + b"x" * 200
    assert size(line[: V1_LIMIT - 1]) is None
    with pytest.raises(RemoteProtocolError, match="without an end"):
        size(line[:V1_LIMIT])
    with pytest.raises(RemoteProtocolError, match="without an end"):
        size(line + b"\r\n")


def test_a_header_that_is_too_long_is_given_up_before_its_content_has_come():
    longest = SIGNATURE + b"\x21\x11" + (LIMIT - 16).to_bytes(2)
    assert size(longest) == LIMIT
    for length in (LIMIT - 15, 65535):
        with pytest.raises(RemoteProtocolError, match="octets, more than"):
            size(SIGNATURE + b"\x21\x11" + length.to_bytes(2))


@pytest.mark.parametrize(
    "header",
    [
        v2(command=0x22),
        v2(command=0x2F),
        v2(command=0x11),
        v2(command=0x31),
        v2(command=0x01),
        v2(family=0x13),
        v2(family=0x41),
        v2(family=0xF1),
        v2(b""),
        v2(ADDRESSES4[:-1]),
        v2(ADDRESSES4, family=0x21),
        v2(ADDRESSES4 + b"\x05"),
        v2(ADDRESSES4 + b"\x05\0"),
        v2(ADDRESSES4 + b"\x05\0\x01"),
        v2(ADDRESSES4 + b"\x05\xff\xff" + b"x" * 100),
        v2(ADDRESSES4 + tlv(0x20, b"")),
        v2(ADDRESSES4 + tlv(0x20, b"\x01\0\0\0")),
        v2(ADDRESSES4 + tlv(0x20, b"\x01\0\0\0\x01\x21\0\x09TLSv1.3")),
        v2(ADDRESSES4 + tlv(0x20, b"\0\0\0\0\x01\x21")),
    ],
)
def test_a_malformed_header_of_version_2_is_refused(header):
    assert size(header) == len(header)
    with pytest.raises(RemoteProtocolError):
        parse(header)


def test_words_that_are_not_ascii_do_no_harm():
    facts = tlv(0x21, b"TLS\xff\r\n") + tlv(0x23, b"\0")
    header = parse(v2(ADDRESSES4 + tlv(0x20, b"\x01\0\0\0\x01" + facts)))
    assert header.security.version == "TLS\\xff\r\n"


# Whatever it is


def endpoints(version):
    return st.builds(Endpoint, st.ip_addresses(v=version).map(shown), st.integers(0, 65535))


def shown(address):
    return str(getattr(address, "ipv4_mapped", None) or address)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
octets = st.binary(max_size=200)
securities = st.just(CLEAR) | st.builds(Security, words, words)
pairs = st.sampled_from([4, 6]).flatmap(lambda version: st.tuples(endpoints(version), endpoints(version)))
headers = st.builds(lambda ends, *more: Header(*ends, *more), pairs, securities, octets, octets, octets)


@given(headers)
def test_version_2_says_all_that_there_is_to_say(header):
    assert parse(render_v2(header)) == header


@given(pairs)
def test_version_1_says_the_addresses(ends):
    assert parse(render_v1(Header(*ends))) == Header(*ends)


@given(headers, st.sampled_from([render_v1, render_v2]), st.binary(max_size=50))
def test_wherever_a_header_is_cut_its_size_is_known_in_time_and_what_follows_is_not_part_of_it(header, render, behind):
    whole = render(header)
    for end in range(len(whole)):
        assert size(whole[:end]) in (None, len(whole))
    assert size(whole + behind) == len(whole)


BEGINNINGS = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"])


@given(BEGINNINGS, st.binary(max_size=300))
def test_garbage_raises_one_exception_and_nothing_else(beginning, garbage):
    received = beginning + garbage
    try:
        whole = size(received)
        if whole is None:
            assert len(received) < LIMIT
        else:
            parse(received[:whole])
    except RemoteProtocolError:
        pass


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
def test_so_does_garbage_in_a_header_of_the_right_size(command, family, content):
    try:
        parse(v2(content, command, family))
    except RemoteProtocolError:
        pass


@given(headers, st.integers(0, 400), st.integers(0, 255))
def test_so_does_a_header_with_a_wrong_octet(header, place, octet):
    whole = bytearray(render_v2(header))
    whole[place % len(whole)] = octet
    try:
        parse(bytes(whole[: size(bytes(whole))]))
    except RemoteProtocolError:
        pass
