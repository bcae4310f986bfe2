import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.wire.sasl.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
    ],
)
def test_the_examples_of_rfc_4013_come_out(text, prepared):
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031"])
def test_the_examples_of_rfc_4013_that_are_prohibited_are_refused(text):
    with pytest.raises(ValueError, match="SASLprep prohibits"):
        saslprep(text)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("a\u00a0b", "a b"),  # a blank beyond ASCII is a blank
        ("a\u200bb", "ab"),  # what is commonly mapped to nothing
        ("o\u0308", "\u00f6"),  # composed
        ("\ufb01", "fi"),  # a ligature
        ("\uff21", "A"),  # full width
        ("\u0627\u0644", "\u0627\u0644"),  # from right to left throughout
        ("\u0627 1\u0627", "\u0627 1\u0627"),  # with digits within
        ("\U0001f600", "\U0001f600"),  # no character yet in Unicode 3.2
    ],
)
def test_what_is_meant_to_be_the_same_becomes_the_same(text, prepared):
    assert saslprep(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        "a\x7fb",
        "a\u0085b",
        "a\ue000b",
        "a\ufdd0b",
        "a\udcffb",
        "a\u2ff0b",
        "a\u202eb",
        "a\U000e0041b",
        "\u0627a\u0627",
        "a\u0627",
    ],
)
def test_what_could_mislead_is_refused(text):
    with pytest.raises(ValueError, match="SASLprep prohibits"):
        saslprep(text)


@given(st.text())
def test_what_is_prepared_is_left_as_it_is(text):
    try:
        prepared = saslprep(text)
    except ValueError:
        return
    assert saslprep(prepared) == prepared


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_printable_ascii_is_left_as_it_is(text):
    assert saslprep(text) == text
