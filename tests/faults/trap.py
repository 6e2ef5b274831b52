"""What goes wrong in an imapd that runs in a child: the N-th call of maildir.fs fails, or is its last."""

from __future__ import annotations

import mmap
import os
import signal
import struct

from maildir import fs, listing, lock

CALLS = (
    "listdir open_message read create write sync sync_octets sync_directory close fstat stat lstat link rename unlink "
    "mkdir rmdir chmod utime append"
).split()

# What happens at the N-th call.
BEFORE = 1  # it fails and has done nothing
AFTER = 2  # it fails and has done all
KILL = 3  # the process is killed before it
TEAR = 4  # the process is killed in the middle of it, where it is a write; else before it

_STATE = struct.Struct("=iiiii")  # what happens, at which call, with which errno; calls made, and which the last was


class Trap:
    """Set by the parent while the child waits for a command; `install` is for the child, before imapd runs."""

    def __init__(self, dead_lock_pause: float = 0.001, settled: float = 2.0) -> None:
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._pause = dead_lock_pause
        self._settled = settled

    def arm(self, what: int, call_number: int, errno: int = 0) -> None:
        """From now on count calls; at that one this happens."""
        _STATE.pack_into(self._shared, 0, what, call_number, errno, 0, 0)

    def disarm(self) -> str:
        """Nothing more happens; returns the name of the call to which it happened, "" when there were too few."""
        _, at, _, made, which = _STATE.unpack_from(self._shared)
        _STATE.pack_into(self._shared, 0, 0, 0, 0, 0, 0)
        return CALLS[which] if made >= at else ""

    def install(self) -> None:
        """Change maildir.fs in this process, and how long it waits after removing a dead lock."""
        lock.PAUSE_SECONDS = self._pause
        listing.SETTLED_NS = int(self._settled * 1e9)
        for name in CALLS:
            setattr(fs, name, self._wrapped(name, getattr(fs, name)))

    def _wrapped(self, name, real):
        index = CALLS.index(name)

        def call(*args, **kwargs):
            what, at, errno, made, which = _STATE.unpack_from(self._shared)
            if not what:
                return real(*args, **kwargs)
            made += 1
            _STATE.pack_into(self._shared, 0, what, at, errno, made, index if made <= at else which)
            if made != at:
                return real(*args, **kwargs)
            if what == TEAR and name == "write":
                fd, data = args
                os.write(fd, bytes(data)[: len(data) // 2])
            if what in (KILL, TEAR):
                os.kill(os.getpid(), signal.SIGKILL)
            if what == AFTER or name == "close":  # a close() that fails has closed
                real(*args, **kwargs)
            raise OSError(errno, os.strerror(errno))

        return call
