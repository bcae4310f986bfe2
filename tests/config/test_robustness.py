from __future__ import annotations

from typing import Any

from attrs import has
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmp.config.render import value
from mmp.config.schema import Config, Listener
from mmp.config.tables import keys
from tests.config.folder import Folder

plausible = ["", "none", "implicit", "30m", "1ms", "::1", "%U", "(a=b)", "tls/mail.pem", "tls/mail.key", "ldap", "file"]
scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from(plausible)
words = st.text(st.characters(exclude_categories=["C"]), max_size=8)
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "base"]), inner, max_size=1),
    max_leaves=3,
)


def tables(shape: Any) -> st.SearchStrategy[Any]:
    """Tables whose keys are right and whose values may be anything."""
    optional = {key: tables(kind) if has(kind) else anything for key, kind in keys(shape).items()}
    return st.fixed_dictionaries({}, optional=optional)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40
)
@given(table=tables(Config), listeners=st.lists(tables(Listener), max_size=2))
def test_whatever_the_values_nothing_but_mistakes_comes_of_it(folder: Folder, table, listeners):
    written = {**table, "listener": listeners}
    mistakes = folder.mistakes("".join(f"{key} = {value(item)}\n" for key, item in written.items()))
    assert all(": " in mistake for mistake in mistakes)
    assert len(set(mistakes)) == len(mistakes)
