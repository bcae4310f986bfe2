from __future__ import annotations

import pytest

import mmp.demo.main
from mmp.cli.main import main
from mmp.demo.files import write_files
from mmp.model import Endpoint


@pytest.mark.parametrize(
    ("arguments", "handed_over"),
    [
        ((), (None, 10000)),
        (("--port-base", "20000"), (None, 20000)),
        (("--directory", "here", "--port-base", "64540"), ("here", 64540)),
    ],
)
def test_the_demo_is_told_where_to_be(monkeypatch, arguments, handed_over):
    told = []
    monkeypatch.setattr(mmp.demo.main, "run", lambda directory, port_base: told.append((directory, port_base)))
    assert main(["demo", *arguments]) == 0
    assert told == [handed_over]


@pytest.mark.parametrize("base", ["", "x", "-1", "1.5", "64541", "٣"])
def test_a_base_that_leaves_no_room_for_the_ports_is_wrong_usage(capsys, base):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port-base", base])
    assert ended.value.code == 2
    assert "must be a whole number from 0 to 64540" in capsys.readouterr().err or base == "-1"


def test_its_files_take_the_place_of_links_and_follow_none(tmp_path):
    (tmp_path / "precious").write_text("precious")
    demo = tmp_path / "demo"
    demo.mkdir()
    for name in ("ca.pem", "server.pem", "server.key", "users.toml", "mmp.toml"):
        (demo / name).symlink_to(tmp_path / "precious")
    configuration = write_files(demo, [], {}, {}, Endpoint("127.0.0.1", 80))
    assert (tmp_path / "precious").read_text() == "precious"
    assert configuration.read_text().startswith("# Written by `mmp demo`")
    assert {each.name for each in demo.iterdir() if each.stat().st_mode & 0o077 == 0} == {"server.key", "users.toml"}
