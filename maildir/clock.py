"""Whether the clock of the file server and this host's agree."""

from __future__ import annotations

import time

from maildir.atomic import Replacement

MAX_SKEW_SECONDS = 30  # the original refuses service beyond


def clock_skew(root: bytes) -> int:
    """By how many seconds a file made in the maildir now differs from this host's time; negative: it is older."""
    with Replacement(root + b"/tmp", b"clockskew") as probe:
        return probe.mtime - int(time.time())
