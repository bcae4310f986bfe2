import pytest

from mmp.wire.sasl import MECHANISMS, SASLError


def external():
    return MECHANISMS["EXTERNAL"](b"")


def test_the_example_of_rfc_4422_names_whom_to_act_as():
    credentials = external().next(b"fred@example.com")
    assert (credentials.mechanism, credentials.user, credentials.authzid) == ("EXTERNAL", "fred@example.com", "")


def test_without_an_initial_response_it_is_asked_for():
    mechanism = external()
    assert mechanism.next(None) == b""
    assert mechanism.next(b"").user == ""


def test_an_empty_response_leaves_the_user_to_the_certificate():
    assert external().next(b"").user == ""


def test_it_proves_no_password_to_those_who_know_of_nothing_else():
    credentials = external().next(b"")
    assert credentials.secret == b""
    assert not credentials.proves(b"")


@pytest.mark.parametrize("response", [b"\xff", b"a\0b", b"a\r\n", b"x" * 1025])
def test_a_name_that_is_none_is_refused(response):
    with pytest.raises(SASLError):
        external().next(response)
