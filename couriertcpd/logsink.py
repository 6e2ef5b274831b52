"""Where courierlogger's lines go: to syslog, or to a file."""

import os
import syslog
import time
from collections.abc import Iterator

from couriertcpd.switches import Misuse

MAX_LINE = 511  # octets of a line, the original's; the rest of a longer one is dropped

# What a line may begin with.  The file shows all but INFO, which every ordinary line has anyway.
_LEVELS = {
    b"ALERT": syslog.LOG_ALERT,
    b"CRIT": syslog.LOG_CRIT,
    b"ERR": syslog.LOG_ERR,
    b"WARN": syslog.LOG_WARNING,
    b"INFO": syslog.LOG_INFO,
    b"DEBUG": syslog.LOG_DEBUG,
}
_NAMES = {priority: name.decode() for name, priority in _LEVELS.items()}

FACILITIES = {
    name: getattr(syslog, "LOG_" + name.upper())
    for name in (
        "auth authpriv cron daemon kern lpr mail news user uucp local0 local1 local2 local3 local4 local5 local6 local7"
    ).split()
    if hasattr(syslog, "LOG_" + name.upper())
}
# Names that Python's syslog module or not every system has.
FACILITIES |= {"security": syslog.LOG_AUTH, "console": syslog.LOG_USER, "ftp": 11 << 3}


class Lines:
    """Cuts a stream into lines of at most MAX_LINE octets."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that data completes, without line ends."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._keep(part)
            yield from self.flush(even_empty=True)
        self._keep(rest)

    def flush(self, even_empty: bool = False) -> Iterator[bytes]:
        """The line that was begun, if there is one."""
        if self._kept or even_empty:
            yield bytes(self._kept)
        self._kept.clear()

    def _keep(self, part: bytes) -> None:
        self._kept += part[: MAX_LINE - len(self._kept)]


def priority(line: bytes) -> tuple[int, str]:
    """The syslog level that a line asks for, and its text without that and the blanks behind it."""
    prefix, colon, rest = line.partition(b":")
    level = _LEVELS.get(prefix) if colon else None
    text = line if level is None else rest.lstrip(b" \t")
    return syslog.LOG_INFO if level is None else level, text.replace(b"\0", b"").decode("utf-8", "backslashreplace")


class Syslog:
    """Writes to the host's syslog; where there is none the C library drops the line, and so do we."""

    def __init__(self, name: str, facility: int) -> None:
        syslog.openlog(name, 0, facility)

    def write(self, line: bytes) -> None:
        """Log one line."""
        syslog.syslog(*priority(line))

    def reopen(self) -> None:
        """Nothing to do: the C library connects again by itself."""


class File:
    """Appends `TIME NAME: text` lines to a file; levels other than INFO stay in front of the text.  Raises Misuse."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = os.path.abspath(path), name
        try:
            self._descriptor = self._opened()
        except OSError as error:
            raise Misuse(f"{path}: {error.strerror}") from error

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def write(self, line: bytes) -> None:
        """Log one line; a full disk loses it, and stops nobody."""
        level, text = priority(line)
        shown = text if level == syslog.LOG_INFO else f"{_NAMES[level]}: {text}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        try:
            os.write(self._descriptor, f"{stamp[:-2]}:{stamp[-2:]} {self._name}: {shown}\n".encode())
        except OSError:
            return

    def reopen(self) -> None:
        """Go on in a new file of the same name, after a rotation; if that cannot be opened, in the old one."""
        try:
            fresh = self._opened()
        except OSError as error:
            self.write(f"ERR: {self._path}: cannot be opened again: {error.strerror}".encode())
            return
        os.close(self._descriptor)
        self._descriptor = fresh
