"""The list of subscribed mailboxes, `courierimapsubscribed`: one name a line, UTF-8, as the client spelled it."""

from __future__ import annotations

import errno

from couriertcpd import log
from maildir import fs, lock
from maildir.atomic import Replacement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILE = b"/courierimapsubscribed"
MAX_BYTES = 4 << 20
MAX_LINES = 50_000
MAX_NAME = 4096  # bytes; a path could not be longer


def same(one: bytes, other: bytes) -> bool:
    """True for names of one mailbox: equal, but for the case of "inbox" at the beginning."""
    if one[:5].lower() == b"inbox" == other[:5].lower():
        return one[5:] == other[5:]
    return one == other


def read(root: bytes) -> list[bytes]:
    """The subscribed names in the order of the file; what is no name is left out."""
    return _read(root)[0]


def _read(root: bytes) -> tuple[list[bytes], str]:
    """The names, and what is wrong with the file."""
    content = fs.read_if_there(root + FILE, MAX_BYTES)
    if content is None:
        return [], ""
    data, found = content
    fault = f"more than {MAX_BYTES >> 20} MiB" if found.st_size > MAX_BYTES else ""
    names = []
    for number, line in enumerate(data.splitlines(), 1):
        if number > MAX_LINES:
            fault = fault or f"more than {MAX_LINES} lines"
            break
        if line and len(line) <= MAX_NAME and b"\0" not in line:
            names.append(line)
        else:
            fault = fault or f"line {number} is no mailbox name"
    return names, fault


def add(root: bytes, name: bytes) -> None:
    """Subscribe to a mailbox; nothing happens when it is subscribed already.  Whether it exists is not looked at."""
    _check(name)
    with lock.held(root):
        names, fault = _read(root)
        if not any(same(name, known) for known in names):
            _write(root, [*names, name], fault)


def remove(root: bytes, name: bytes) -> None:
    """Unsubscribe from a mailbox; nothing happens when it is not subscribed."""
    with lock.held(root):
        names, fault = _read(root)
        left = [known for known in names if not same(name, known)]
        if len(left) < len(names):
            _write(root, left, fault)


def rewrite(root: bytes, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Write the list anew, as change makes it of the names; the file is there afterwards even if it is empty."""
    with lock.held(root):
        names, fault = _read(root)
        _write(root, change(names), fault)


def _check(name: bytes) -> None:
    if not name or len(name) > MAX_NAME or any(octet in name for octet in (b"\0", b"\n", b"\r")):
        raise OSError(errno.EINVAL, "not a mailbox name")


def _write(root: bytes, names: list[bytes], fault: str) -> None:
    data = b"".join(name + b"\n" for name in names)
    if len(data) > MAX_BYTES or len(names) > MAX_LINES:
        raise OSError(errno.EDQUOT, "too many subscriptions", root + FILE)
    with Replacement(root + b"/tmp", b"imapsubscribe") as new_version:
        new_version.put(data)
        new_version.replace(root + FILE, root)
    if fault:
        log.warn(f"{log.printable(root + FILE)}: {fault}: damaged; repaired, {len(names)} subscriptions kept")
