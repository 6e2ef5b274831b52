"""Keywords while another session makes their directory."""

from pathlib import Path

import pytest

from maildir import fs
from maildir.keywords import DIRECTORY, Keywords


def test_a_directory_made_between_two_looks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = bytes(tmp_path) + DIRECTORY
    listdir = fs.listdir

    def late(path: bytes) -> list[bytes]:
        try:
            return listdir(path)
        finally:
            Path(directory.decode()).mkdir(exist_ok=True)

    monkeypatch.setattr(fs, "listdir", late)
    assert Keywords(bytes(tmp_path)).there() is False
    (Path(directory.decode()) / "name").touch()
    assert Keywords(bytes(tmp_path)).there() is True
