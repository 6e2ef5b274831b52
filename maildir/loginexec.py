"""The account's `loginexec` hook: a program in the maildir that runs once after a successful login.

It has the client on descriptors 0 and 1, as in the original.  When it ends with status 0 it is removed.
"""

import os
import stat

from couriertcpd import environ, log

HOOK = "loginexec"


def run() -> None:
    """Run ./loginexec, if it is there and its owner may execute it, and wait for its end."""
    try:
        mode = os.stat(HOOK).st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) and mode & stat.S_IXUSR):
        return
    if _status() == 0:
        os.unlink(HOOK)


def _status() -> int:
    try:
        pid = os.posix_spawn("./" + HOOK, ["./" + HOOK], environ.everything())
    except OSError as error:
        log.err(f"{HOOK}: {error.strerror}")
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
