"""What else holds for our side toward the client whatever a POP3 client says."""

from hypothesis import given
from hypothesis import strategies as st

from mmp.model import Offer
from tests.strategies import chunked
from tests.wire.pop3.pieces import client_pieces
from tests.wire.pop3.server_side import POP3
from tests.wire.server_side import served, whole_lines


@given(chunked(client_pieces, first=b"NOOP\r\n"), st.sampled_from([(), POP3.mechanisms]))
def test_replies_are_whole_lines(chunks, mechanisms):
    _, said, _ = served(POP3, chunks, Offer(mechanisms, plaintext=bool(mechanisms), starttls=False))
    whole_lines(said)
