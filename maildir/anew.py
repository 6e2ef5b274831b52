"""Another name for a message whose own cannot stay."""

from __future__ import annotations

from couriertcpd import log
from maildir import fs, names


def rename_anew(directory: bytes, name: bytes, label: bytes, why: str) -> None:
    """Give a file a base of its own, as it cannot stay under the one that it has (a restored backup, say)."""
    try:
        found = fs.lstat(directory + name)
        base = names.unique(names.temporary(label), found.st_dev, found.st_ino, found.st_size)
        fs.rename(directory + name, directory + names.with_flags(base, names.flags_of(name)))
    except FileNotFoundError:
        return
    log.warn(f"{log.printable(directory + name)}: {why}")
