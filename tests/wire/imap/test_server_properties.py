"""What else holds for our side toward the client whatever an IMAP client says."""

from hypothesis import given
from hypothesis import strategies as st

from mmp.model import Offer
from tests.strategies import chunked, client_pieces
from tests.wire.imap.server_side import IMAP
from tests.wire.server_side import served, whole_lines


@given(chunked(client_pieces, first=b"z NOOP\r\n"), st.booleans())
def test_replies_are_whole_lines_and_a_goodbye_is_the_last(chunks, plaintext):
    _, said, _ = served(IMAP, chunks, Offer(("PLAIN",), plaintext, starttls=False))
    lines = whole_lines(said)
    ends = [at for at, line in enumerate(lines) if line.startswith(b"* BYE")]
    if ends:
        behind = lines[ends[0] + 1 :]
        assert not behind or (len(behind) == 1 and behind[0].endswith(b"OK LOGOUT completed"))
