"""An index that is not what was written: mail goes on with a new one.

No answer may come from what is broken, and the log says it in one line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.indexed import Box, change_and_check, log_lines
from tests.forked import check_log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")



def in_database(statement: str) -> Callable[[Path], None]:
    """A change that SQLite itself finds nothing wrong with."""

    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def swap_columns(path: Path) -> None:
    connection = sqlite3.connect(path)
    numbers = [row[0] for row in connection.execute("SELECT number FROM kind ORDER BY number LIMIT 2")]
    for old, new in ((numbers[0], 9000), (numbers[1], numbers[0]), (9000, numbers[1])):
        connection.execute("UPDATE kind SET number = ? WHERE number = ?", (new, old))
    connection.commit()
    connection.close()


def swap_blocks(which: str) -> Callable[[Path], None]:
    """Blocks of one column exchanged, or those of one uid range of two columns."""

    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        rows = connection.execute("SELECT id, octets FROM block ORDER BY id").fetchall()
        by_part: dict[int, list[tuple[int, bytes]]] = {}
        for row, octets in rows:
            by_part.setdefault(row >> 32 if which == "uids" else row & 0xFFFFFFFF, []).append((row, octets))
        for part in by_part.values():
            for (row, _), (_, octets) in zip(part, part[1:] + part[:1], strict=True):
                connection.execute("UPDATE block SET octets = ? WHERE id = ?", (octets, row))
        connection.commit()
        connection.close()

    return change


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def link(path: Path) -> None:
    """To somebody else's file, which must stay as it is."""
    target = path.parent.parent / "precious"
    target.write_text("precious")
    path.unlink()
    path.symlink_to(target)


BROKEN: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"not a database\n" * 1000),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one page less": lambda path: os.truncate(path, path.stat().st_size - 16384),
    "an odd length": lambda path: os.truncate(path, path.stat().st_size - 7),
    "no header": lambda path: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
    "older version": in_database("PRAGMA user_version = 0"),
    "newer version": in_database("PRAGMA user_version = 99"),
    "another application": in_database("PRAGMA application_id = 1"),
    "no tables": in_database("DROP TABLE block"),
    "other tables": in_database("ALTER TABLE kind RENAME COLUMN name TO other"),
    "no generation": in_database("DELETE FROM meta"),
    "wrong types": in_database("UPDATE block SET octets = 'text'"),
    "short blocks": in_database("UPDATE block SET octets = substr(octets, 1, 100)"),
    "changed blocks": in_database("UPDATE block SET octets = replace(octets, CAST('x' AS BLOB), CAST('y' AS BLOB))"),
    "short view": in_database("UPDATE view SET body = x'00'"),
    "changed view": in_database("UPDATE view SET body = zeroblob(length(body))"),
    "directory": directory,
    "link": link,
    "dangling link": lambda path: (path.unlink(), path.symlink_to(path.parent / "nowhere"))[0],
    "nobody may read it": lambda path: path.chmod(0),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path))[0],
    "columns exchanged": swap_columns,
    "blocks exchanged": swap_blocks("uids"),
    "blocks of columns exchanged": swap_blocks("columns"),
    "another column": in_database("ALTER TABLE answer ADD COLUMN more"),
    "a column less": in_database("ALTER TABLE view DROP COLUMN body"),
    "a trigger": in_database("CREATE TRIGGER t AFTER INSERT ON block BEGIN DELETE FROM kind; END"),
    "answers of other questions": in_database("UPDATE answer SET octets = (SELECT max(octets) FROM answer)"),
    "text that is no text": in_database("UPDATE block SET octets = CAST(x'fffe' AS TEXT)"),
    "names that are no text": in_database("UPDATE kind SET name = CAST(x'ff' || name AS TEXT)"),
    "numbers beyond all": in_database("UPDATE kind SET number = 9223372036854775807 - number"),
}
STAYS = {"directory"}  # with something in it: nobody knows whose
SILENT = {"empty"}  # as if it had never been written
# Nobody is hurt by it, or not at once: what the database has of the view is not asked for while there is its copy.
UNHURT = {"an odd length", "short view", "changed view", "names that are no text"}


@pytest.mark.parametrize("how", BROKEN)
def test_broken(box: Box, how: str) -> None:
    BROKEN[how](box.index)
    with box.session() as imapd:
        change_and_check(box, imapd)
    check_log(box.log)
    told = log_lines(box)
    assert len(told) <= 1
    assert told or how in SILENT | UNHURT
    if how in STAYS:
        shutil.rmtree(box.index)
        return
    box.settle()
    box.check_anew()
    assert len(log_lines(box)) <= 1
    with contextlib.closing(sqlite3.connect(box.index)) as connection:
        assert connection.execute("SELECT count(*) FROM block").fetchone()[0]
    precious = box.path.parent / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


def test_broken_under_an_open_session(box: Box) -> None:
    """Sessions that have it open go on, and so does one that comes while they do."""
    with box.session() as one, box.session() as other:
        for imapd in (one, other):
            box.check_all(imapd.client)
        box.index.unlink()
        box.check_all(one.client)
        shutil.copy(__file__, box.index)
        change_and_check(box, one)
        box.check_all(other.client)
        box.check_anew()
        box.check_all(one.client)
        with contextlib.closing(sqlite3.connect(box.index)) as connection:
            connection.execute("DROP TABLE block")
        for imapd in (one, other):
            box.check_all(imapd.client)
        box.check_anew()
    check_log(box.log)
    assert len(log_lines(box)) <= 4  # who comes first makes it anew; those who come too late may have to go on without


