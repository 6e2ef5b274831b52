"""Something happens to an imapd at the N-th of its system calls that change files or lock them, SQLite's among them.

It is traced by its parent (ptrace), which takes its place towards the test and ends as it ends.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import struct
from errno import ENOSPC

import pytest

_TRACEME, _PEEKUSER, _POKEUSER, _SYSCALL, _SETOPTIONS = 0, 3, 6, 24, 0x4200
_GOOD_AND_EXITKILL = 1 | 0x100000
_RESULT, _FIRST_ARGUMENT, _CALL = 10 * 8, 14 * 8, 15 * 8  # in the registers of x86_64

_WRITES = {1: "write", 18: "pwrite64", 285: "fallocate"}
_CALLS = {
    **_WRITES, 72: "fcntl", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir",
    86: "link", 87: "unlink", 257: "openat",
}  # fmt: skip
_STATE = struct.Struct("=ii")  # whether calls are counted; how many there were


def needed() -> None:
    """Skip the test where this cannot be done."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        pytest.skip("system calls are counted by the registers of x86_64, on Linux")


class Traced:
    """For Forked's prepare, as the last.  From begin() on calls are counted.

    At the call with the number `kill` the process is killed; from the write with the number `full` on the disk is full.
    """

    def __init__(self, kill: int = 0, full: int = 0) -> None:
        self._kill = kill
        self._full = full
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.restype = ctypes.c_long
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    @property
    def count(self) -> int:
        """How many calls there were; of writes, when the disk is to be full."""
        found: int = _STATE.unpack_from(self._shared)[1]
        return found

    def begin(self) -> None:
        """The greeting has been read: now it matters."""
        _STATE.pack_into(self._shared, 0, 1, 0)

    def __call__(self) -> None:
        """Go on as the child of a tracer."""
        pid = os.fork()
        if pid:
            self._trace(pid)
        self._libc.ptrace(_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _trace(self, pid: int) -> None:
        os.closerange(0, 2)  # the connection ends with the server
        os.waitpid(pid, 0)
        self._libc.ptrace(_SETOPTIONS, pid, None, _GOOD_AND_EXITKILL)
        passed_on, inside, refused = 0, False, False
        while True:
            self._libc.ptrace(_SYSCALL, pid, None, passed_on)
            _, status = os.waitpid(pid, 0)
            passed_on = 0
            if not os.WIFSTOPPED(status):
                break
            if os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
                passed_on = os.WSTOPSIG(status)
            elif inside:
                inside = False
                if refused:
                    self._libc.ptrace(_POKEUSER, pid, _RESULT, -ENOSPC & (1 << 64) - 1)
            else:
                inside, refused = True, self._enters(pid)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.WEXITSTATUS(status))

    def _enters(self, pid: int) -> bool:
        """A call begins; True when it is not to be made, for the disk is full."""
        counted, count = _STATE.unpack_from(self._shared)
        if not counted:
            return False
        call = self._libc.ptrace(_PEEKUSER, pid, _CALL, None)
        if call not in (_WRITES if self._full else _CALLS) or (
            call == 1 and self._libc.ptrace(_PEEKUSER, pid, _FIRST_ARGUMENT, None) <= 2
        ):
            return False
        count += 1
        _STATE.pack_into(self._shared, 0, 1, count)
        if count == self._kill:
            os.kill(pid, signal.SIGKILL)
        if not self._full or count < self._full:
            return False
        self._libc.ptrace(_POKEUSER, pid, _CALL, (1 << 64) - 1)
        return True
