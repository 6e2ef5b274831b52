"""The zone that local times are told in, by a name that changes with its rules."""

from __future__ import annotations

import os
from binascii import crc32

from couriertcpd import environ

_DEFAULT = "/etc/localtime"
_DIRECTORY = "/usr/share/zoneinfo/"
_MAX_OCTETS = 1 << 20

_known: dict[str | None, bytes] = {}


def name() -> bytes:
    """As long as it stays, the same moment is told as the same local time; looked up once."""
    setting = environ.text("TZ") if environ.is_set("TZ") else None
    found = _known.get(setting)
    if found is None:
        found = _known[setting] = b"%08x" % crc32(_rules(setting), crc32((setting or "").encode("utf-8", "replace")))
    return found


def _rules(setting: str | None) -> bytes:
    """What the C library reads for this value of TZ; b"" where the value itself tells the rules."""
    path = _DEFAULT if setting is None else os.path.join(_DIRECTORY, setting.removeprefix(":"))
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_OCTETS)
    except (OSError, ValueError):
        return b""
