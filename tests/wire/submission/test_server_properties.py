"""What else holds for our side toward the client whatever a submission client says."""

from hypothesis import given
from hypothesis import strategies as st

from mmp.model import Offer
from tests.strategies import chunked
from tests.wire.server_side import served, whole_lines
from tests.wire.submission.pieces import client_pieces
from tests.wire.submission.server_side import SUBMISSION


@given(chunked(client_pieces, first=b"EHLO client\r\n"), st.sampled_from([(), SUBMISSION.mechanisms]))
def test_replies_are_whole_lines_and_none_invites_a_message(chunks, mechanisms):
    _, said, _ = served(SUBMISSION, chunks, Offer(mechanisms, plaintext=bool(mechanisms), starttls=False))
    assert not any(line.startswith(b"354") for line in whole_lines(said))
