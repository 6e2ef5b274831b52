"""What tests of the listener share."""

from pathlib import Path

import pytest


def environment(text: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.decode().splitlines())


def write(path: Path, records: dict[str, str]) -> str:
    """An access file; returns its path."""
    gdbm = pytest.importorskip("dbm.gnu")
    with gdbm.open(str(path), "n") as database:
        for key, value in records.items():
            database[key] = value
    return str(path)
