"""A database beside a folder in which nothing is that cannot be had from the folder's files.

So nobody fails for it: what cannot be used now is left alone, what is damaged is thrown away and made again once, and
with what is of no use one goes on without.
"""

from __future__ import annotations

from couriertcpd import log
from maildir import columns, indexfile
from maildir.indexfile import IndexFile, Unusable, Unwanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection
    from typing import TypeVar

    from maildir.indexfile import Layout

    Result = TypeVar("Result")


class Derived:
    """The database of one folder and layout, for one process; called is how the log calls it."""

    __slots__ = ("_called", "_file", "_folder", "_off")

    def __init__(self, folder: bytes, layout: Layout, called: str) -> None:
        self._folder = folder
        self._file = IndexFile(folder, layout)
        self._called = called
        self._off = False  # given up for this session

    @property
    def off(self) -> bool:
        """True when this session goes on without."""
        return self._off

    @property
    def is_open(self) -> bool:
        """True when the file has been opened, and asking costs little."""
        return self._file.is_open

    def there(self) -> bool:
        """Whether there is a file: one is only made when there is something to put into it."""
        return self._file.is_open or self._file.exists()

    def _attempt(self, act: Callable[[Connection], Result]) -> Result | None:
        """Do something with the database; None when that cannot be done."""
        if self._off:
            return None
        import sqlite3

        try:
            if self._file.moved():
                self._forget()
            return act(self._file.connection())
        except columns.Damaged:
            self._make_anew("damaged")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if indexfile.is_passing(error):
                self._let_pass(error)
            elif indexfile.is_damage(error):
                self._make_anew(f"damaged ({error})")
            else:
                self._give_up(error)
        except (Unusable, OSError) as error:
            self._give_up(error)
        return None

    def _forget(self) -> None:
        """Close the file; what was believed because of it is believed no more."""
        self._file.close()

    def _let_pass(self, why: Exception) -> None:
        """Go on without for a moment, as when another process has it locked."""

    def _make_anew(self, why: str) -> None:
        """Throw the file away; the next question makes another."""
        self._forget()
        try:
            self._file.discard(why)
        except (Unusable, OSError) as error:
            self._give_up(error)

    def _give_up(self, why: Exception) -> None:
        """Go on without, and forget what was to be written."""
        self._off = True
        self._forget()
        if not isinstance(why, Unwanted):
            self._tell(f"goes on without its {self._called}", why)

    def _tell(self, outcome: str, why: Exception) -> None:
        indexfile.tell(self._folder, f"{log.printable(self._folder)}:", outcome, str(why))
