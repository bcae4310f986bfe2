"""The rules of the architecture hold in this tree; ``tests/architecture`` says what each means."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import classes, conduct, dependencies, state, words
from tests.architecture.source import Modules, Rule, parse, read

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def modules() -> Modules:
    return parse(read(ROOT, "mmp", "plugins"))


def holds(rule: Rule, modules: Modules) -> None:
    violations = list(rule(modules))
    assert not violations, "\n".join([rule.__doc__ or "", *violations])


def test_core_does_no_io(modules: Modules) -> None:
    holds(dependencies.core_does_no_io, modules)


def test_core_knows_only_what_is_below(modules: Modules) -> None:
    holds(dependencies.core_knows_only_what_is_below, modules)


def test_protocols_are_strangers(modules: Modules) -> None:
    holds(dependencies.protocols_are_strangers, modules)


def test_a_protocol_is_named_in_few_places(modules: Modules) -> None:
    holds(dependencies.a_protocol_is_named_in_few_places, modules)


def test_nothing_imports_the_roots(modules: Modules) -> None:
    holds(dependencies.nothing_imports_the_roots, modules)


def test_libraries_have_owners(modules: Modules) -> None:
    holds(dependencies.libraries_have_owners, modules)


def test_only_roots_read_the_configuration(modules: Modules) -> None:
    holds(dependencies.only_roots_read_the_configuration, modules)


def test_the_reactor_is_an_argument(modules: Modules) -> None:
    holds(dependencies.the_reactor_is_an_argument, modules)


def test_the_zygote_loads_no_reactor(modules: Modules) -> None:
    holds(dependencies.the_zygote_loads_no_reactor, modules)


def test_no_function_changes_a_global(modules: Modules) -> None:
    holds(state.no_function_changes_a_global, modules)


def test_nothing_is_star_imported(modules: Modules) -> None:
    holds(conduct.nothing_is_star_imported, modules)


def test_private_modules_stay_private(modules: Modules) -> None:
    holds(conduct.private_modules_stay_private, modules)


def test_one_file_knows_pyopenssl_inside(modules: Modules) -> None:
    holds(conduct.one_file_knows_pyopenssl_inside, modules)


def test_transports_keep_their_protocol(modules: Modules) -> None:
    holds(conduct.transports_keep_their_protocol, modules)


def test_expected_faults_are_named(modules: Modules) -> None:
    holds(conduct.expected_faults_are_named, modules)


def test_nothing_inherits_our_concrete_classes(modules: Modules) -> None:
    holds(classes.nothing_inherits_our_concrete_classes, modules)


def test_values_are_frozen(modules: Modules) -> None:
    holds(classes.values_are_frozen, modules)


def test_seams_are_typing_protocols(modules: Modules) -> None:
    holds(classes.seams_are_typing_protocols, modules)


def test_secrets_are_not_shown(modules: Modules) -> None:
    holds(classes.secrets_are_not_shown, modules)


def test_the_session_keeps_no_credentials(modules: Modules) -> None:
    holds(classes.the_session_keeps_no_credentials, modules)


def test_every_refusal_has_words(modules: Modules) -> None:
    holds(words.every_refusal_has_words, modules)


def test_names_say_what_things_are(modules: Modules) -> None:
    holds(words.names_say_what_things_are, modules)


def test_sides_have_their_names(modules: Modules) -> None:
    holds(words.sides_have_their_names, modules)


def test_modules_say_their_purpose(modules: Modules) -> None:
    holds(words.modules_say_their_purpose, modules)


def test_packages_are_listed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    listed.remove("twisted.plugins")  # Twisted's, not ours: it has no __init__.py
    assert not list(words.packages_are_listed(parse(read(ROOT, "mmp")), listed))


def test_the_core_loads_without_twisted_ldap3_and_openssl(modules: Modules) -> None:
    core = [name for name, module in modules.items() if module.within(*dependencies.CORE)]
    program = (
        f"import importlib, sys\nfor name in {core}: importlib.import_module(name)\n"
        "sys.exit(', '.join({'twisted', 'ldap3', 'OpenSSL', 'zope'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr


def test_loading_the_zygote_and_the_worker_brings_no_reactor(modules: Modules) -> None:
    loaded = [name for name in ("mmp.zygote", "mmp.worker") if name in modules]
    program = (
        f"import importlib, sys\nfor name in {loaded}: importlib.import_module(name)\n"
        "sys.exit('twisted.internet.reactor' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
