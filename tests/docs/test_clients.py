"""The programs that the documentation says were tried are those that the tests try, by the same mechanisms."""

import re
from pathlib import Path

from tests.integration.test_clients import FETCHING, SENDING

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"
SIEVE = ("sievelib", "managesieve", ("PLAIN", "LOGIN"))


def test_each_program_and_mechanism_that_is_named_is_tried_and_the_other_way_round():
    text = DOCUMENT.read_text()
    named = re.findall(r"^\| (\w+) \| [^|]+ \| (\w+) \| ([A-Z0-9, -]+) \| \w+ \|$", text, re.MULTILINE)
    tried = [
        (program.__name__.partition("_")[0], service, tuple(name.lstrip("+") for name in mechanisms))
        for program, service, mechanisms in (*FETCHING, *SENDING)
    ]
    assert sorted((program, service, tuple(names.split(", "))) for program, service, names in named) == sorted(
        [*tried, SIEVE]
    )
