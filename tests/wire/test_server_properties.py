"""What holds for our side toward the client in every protocol, whatever is said and however it is cut.

Hypothesis runs inside of these tests, since pytest-twisted wraps a function that it decorates anew for every parameter.
"""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmp.errors import RemoteProtocolError
from mmp.model import Offer
from mmp.wire.toward_client import COMMANDS_LIMIT
from tests.strategies import chunked
from tests.wire.server_side import answer, greeted, named, served
from tests.wire.servers import SERVERS

each_side = pytest.mark.parametrize("side", SERVERS, ids=named)


def full(side):
    return Offer(mechanisms=side.mechanisms, plaintext=True, starttls=False)


def offers(side):
    return st.sampled_from([Offer(mechanisms=(), plaintext=False, starttls=False), full(side)])


@each_side
def test_chunks_make_no_difference(side):
    @settings(max_examples=200)
    @given(chunked(side.pieces, first=side.prelude or side.noop), offers(side))
    def holds(chunks, offer):
        assert served(side, chunks, offer) == served(side, [b"".join(chunks)], offer)

    holds()


@each_side
def test_chunks_make_no_difference_to_the_first_line(side):
    @given(chunked(side.pieces), offers(side))
    def holds(chunks, offer):
        assert served(side, chunks, offer) == served(side, [b"".join(chunks)], offer)

    holds()


@each_side
def test_a_conversation_cut_at_every_octet_is_the_same(side):
    whole = served(side, [side.conversation], full(side))
    assert whole[2] == side.later
    octets = [side.conversation[at : at + 1] for at in range(len(side.conversation))]
    assert served(side, octets, full(side)) == whole


@each_side
def test_whatever_the_bytes_only_the_one_error_comes_out(side):
    @given(st.binary(max_size=300), st.booleans(), offers(side))
    def holds(octets, begun, offer):
        served(side, [side.noop * begun + octets], offer)

    holds()


@pytest.mark.parametrize(("side", "stream"), [(side, stream) for side in SERVERS for stream in side.flood], ids=named)
def test_what_is_held_stays_within_bounds(side, stream):
    core = greeted(side, full(side))
    first, *rest = stream
    for chunk in [side.noop, first, *(rest or stream) * 400]:
        core.receive_data(chunk)
        with suppress(RemoteProtocolError):
            while (event := core.next_event()) is not None:
                answer(side, core, event)
        for held, limit in side.held(core):
            assert held <= limit + len(chunk)
    assert len(core.data_to_send()) < COMMANDS_LIMIT * side.reply_limit
