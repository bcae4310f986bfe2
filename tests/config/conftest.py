from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the certificate and key that are named by default."""
    folder = Folder(tmp_path)
    folder.pair("tls/mail.pem", "tls/mail.key")
    return folder
