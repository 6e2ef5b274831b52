"""The three directories of a folder; some backup programs drop those that are empty."""

from __future__ import annotations

from maildir import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Result = TypeVar("Result")


def completing(folder: bytes, act: Callable[[], Result]) -> Result:
    """Do something; once more if it failed because a directory was missing that could be made."""
    try:
        return act()
    except FileNotFoundError:
        if not complete(folder):
            raise
        return act()


def complete(folder: bytes) -> bool:
    """Make what is missing of cur/, new/ and tmp/; False when nothing is, or all, which is no folder."""
    parts = [folder + b"/" + part for part in (b"cur", b"new", b"tmp")]
    missing = [part for part in parts if not fs.is_directory(part)]
    if not 1 <= len(missing) <= 2:
        return False
    for part in missing:
        try:
            fs.mkdir(part)
        except FileExistsError:
            continue
    return True
