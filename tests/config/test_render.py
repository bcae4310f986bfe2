from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmp.config.render import render, value
from tests.config.folder import Folder

FILES = """
[[listener]]
[[listener]]
port = 993
tls = "implicit"
proxy_protocol_from = ["10.0.0.5", "2001:db8::/64"]
default_domain = "two.example"
sni = [{ certificate = "tls/mail.pem", private_key = "tls/mail.key" }]
ldap = { base = 'ou="two" \\ é', filter = "(mail=%s)" }
[directory.ldap]
bind_dn = "cn=mmp"
bind_password_file = "secret"
[backend]
networks = ["10.0.0.0/8"]
source_address = "::1"
[pool.mail-1]
hosts = ["store1", "store2"]
[pool.other]
hosts = ["store3"]
"""


@pytest.mark.parametrize("toml", ["[[listener]]", FILES])
def test_what_is_printed_loads_as_the_same_configuration(folder: Folder, toml):
    folder.write("secret", "hunter2")
    loaded = folder.load(toml)
    printed = render(loaded.config)
    again = folder.load(printed)
    assert again.config == loaded.config
    assert again.files == loaded.files


def test_no_secret_is_printed(folder: Folder):
    folder.write("secret", "hunter2")
    printed = render(folder.load(FILES).config)
    assert "hunter2" not in printed
    assert f'bind_password_file = "{folder.path}/secret"' in printed


def test_a_listener_is_printed_with_what_is_its_own_alone(folder: Folder):
    folder.write("secret", "hunter2")
    first, second = tomllib.loads(render(folder.load(FILES).config))["listener"]
    assert first.keys() == {"service", "address", "port", "tls", "proxy_protocol_from"}
    assert second["ldap"] == {"base": 'ou="two" \\ é', "filter": "(mail=%s)"}
    assert second.keys() - first.keys() == {"default_domain", "sni", "ldap"}


plain = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text().filter(str.isprintable),
    lambda inner: st.lists(inner) | st.dictionaries(st.from_regex("[a-z_]+", fullmatch=True), inner),
    max_leaves=10,
)


@given(plain)
def test_every_value_is_read_back_the_same(written):
    assert tomllib.loads(f"x = {value(written)}")["x"] == written
