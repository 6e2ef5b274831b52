"""Statements on the database of an index that belong together."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest

from maildir.indexfile import transaction


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    made.execute("CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    made.execute("PRAGMA foreign_keys = 1")
    yield made
    made.close()


def count(connection: sqlite3.Connection) -> int:
    assert not connection.in_transaction
    return int(connection.execute("SELECT (SELECT count(*) FROM parent) + (SELECT count(*) FROM child)").fetchone()[0])


def begin_and_fail(connection: sqlite3.Connection, act: Callable[[], object]) -> None:
    with transaction(connection):
        act()
        raise KeyError


def test_it_is_written_at_the_end(connection) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO parent VALUES (1)")
    assert count(connection) == 1


def test_what_is_raised_takes_it_back(connection) -> None:
    with pytest.raises(KeyError):
        begin_and_fail(connection, lambda: connection.execute("INSERT INTO parent VALUES (1)"))
    assert count(connection) == 0


def test_an_end_that_cannot_be_takes_it_back(connection) -> None:
    with pytest.raises(sqlite3.IntegrityError), transaction(connection):
        connection.execute("INSERT INTO child VALUES (1)")
    assert count(connection) == 0


def test_what_went_wrong_first_is_raised(connection) -> None:
    with pytest.raises(KeyError):
        begin_and_fail(connection, connection.close)
