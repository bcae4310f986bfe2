"""What all stores are known to offer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.stores.known import STORES_LIMIT, Known


def common(*stores):
    known = Known()
    for number, store in enumerate(stores):
        known.learn(f"store{number}", store, frozenset())
    return known.common


def test_nothing_is_known_of_no_store():
    assert Known().common == ()


def test_what_one_store_offers_is_what_all_offer():
    assert common((b"PIPELINING", b"SIZE 100", b"DSN")) == (b"PIPELINING", b"DSN", b"SIZE 100")


def test_what_one_lacks_not_all_have():
    assert common((b"PIPELINING", b"DSN"), (b"DSN", b"CHUNKING")) == (b"DSN",)


@pytest.mark.parametrize(
    ("stores", "size"),
    [
        ([(b"SIZE 100",), (b"SIZE 50",)], (b"SIZE 50",)),
        ([(b"size 100",), (b"SIZE 100",)], (b"SIZE 100",)),
        ([(b"SIZE 100",), (b"SIZE",)], (b"SIZE 100",)),
        ([(b"SIZE 0",), (b"SIZE 100",)], (b"SIZE 100",)),
        ([(b"SIZE",), (b"SIZE 0",)], (b"SIZE",)),
        ([(b"SIZE 100",), (b"DSN",)], ()),
        ([(b"SIZE x",)], (b"SIZE",)),
        ([(b"SIZE " + b"9" * 5000,)], (b"SIZE",)),
    ],
)
def test_of_sizes_the_least_counts(stores, size):
    assert common(*stores) == size


def test_parameters_must_be_the_same_everywhere():
    assert common((b"LIMITS RCPTMAX=5", b"DSN"), (b"LIMITS RCPTMAX=9", b"DSN")) == (b"DSN",)


def test_a_store_that_offers_less_than_before_takes_it_back():
    known = Known()
    known.learn("one", (b"DSN", b"CHUNKING"), frozenset())
    known.learn("two", (b"DSN", b"CHUNKING"), frozenset())
    known.learn("one", (b"DSN",), frozenset())
    assert known.common == (b"DSN",)
    known.learn("one", (b"CHUNKING", b"DSN"), frozenset())
    assert known.common == (b"CHUNKING", b"DSN")


def test_of_very_many_stores_those_heard_of_last_count():
    known = Known()
    for number in range(STORES_LIMIT + 5):
        known.learn(f"store{number}", (b"DSN",) if number < 5 else (b"DSN", b"CHUNKING"), frozenset())
    assert known.common == (b"DSN", b"CHUNKING")
    assert len(known._by_host) == STORES_LIMIT


def test_of_mechanisms_those_count_that_all_take_and_before_any_is_heard_of_all():
    known = Known()
    assert known.takes("XOAUTH2")
    known.learn("one", (), frozenset({b"PLAIN", b"XOAUTH2", b"SCRAM-SHA-256"}))
    known.learn("two", (), frozenset({b"PLAIN", b"XOAUTH2"}))
    assert known.takes("XOAUTH2")
    assert not known.takes("SCRAM-SHA-256")
    known.learn("two", (), frozenset({b"PLAIN"}))
    assert not known.takes("XOAUTH2")
    known.learn("two", (), frozenset({b"XOAUTH2", b"SCRAM-SHA-256"}))
    assert known.takes("SCRAM-SHA-256")


lines = st.lists(st.sampled_from([b"DSN", b"CHUNKING", b"SIZE 5", b"SIZE 7", b"SIZE", b"X"]), max_size=5).map(tuple)


@given(st.lists(lines, min_size=1, max_size=5))
def test_whatever_the_stores_each_has_the_keywords_that_all_have(stores):
    for line in common(*stores):
        assert all(line.split()[0] in [each.split()[0] for each in store] for store in stores)
