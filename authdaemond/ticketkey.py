"""The key under which tickets are signed: AUTHDAEMONVAR/ticket.key, which only authdaemond and root can read.

Whoever can read it can be any account, and whoever can put a file in its place too.  So both ends look at the file and
at the directory before they believe it: as sshd(8) does with its keys.
"""

from __future__ import annotations

import os
import stat

from authdaemond.ticket import KEY_OCTETS
from couriertcpd import environ, installed, log

NAME = "ticket.key"


class Untrusted(Exception):
    """There is no key that could be trusted; the text says why."""


def directory() -> str:
    """Where authdaemond's socket and the key are: the environment's AUTHDAEMONVAR, or the installation's."""
    return environ.text("AUTHDAEMONVAR") or installed.AUTHDAEMONVAR


def make(folder: str) -> None:
    """See that there is a key in the folder that nobody but us can read or replace.  Raises OSError, Untrusted."""
    path = os.path.join(folder, NAME)
    try:
        read(folder)
        return
    except FileNotFoundError:
        pass
    except Untrusted as reason:
        log.warn(f"{path}: {reason}; another key takes its place")
    temporary = path + ".tmp"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, os.urandom(KEY_OCTETS))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)
    read(folder)  # the folder may be one that no key is safe in


def remove(folder: str) -> None:
    """Take the key away: without it nobody asks for tickets, which another authdaemond may not be able to sign."""
    try:
        os.unlink(os.path.join(folder, NAME))
    except OSError:
        return  # there was none


def read(folder: str) -> bytearray:
    """The key, which a process that is to become somebody overwrites first.

    Raises Untrusted, OSError (FileNotFoundError when there is none).
    """
    path = os.path.join(folder, NAME)
    _check_folder(folder)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_file(os.fstat(descriptor))
        key = bytearray(KEY_OCTETS)
        os.readv(descriptor, [key])
        return key
    finally:
        os.close(descriptor)


def trusted(folder: str) -> bool:
    """Whether there is a key that can be believed: the same as read() checks, but needs no right to read it."""
    try:
        _check_folder(folder)
        _check_file(os.lstat(os.path.join(folder, NAME)))
    except (OSError, Untrusted):
        return False
    return True


def _check_folder(folder: str) -> None:
    status = os.stat(folder)
    if status.st_mode & 0o022:
        raise Untrusted(f"{folder}: others than its owner may write to it; chmod go-w {folder}")
    if _of_login_stages(status):
        raise Untrusted(f"{folder}: belongs to {installed.MAILUSER}, as whom clients log in; chown root {folder}")


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size != KEY_OCTETS:
        raise Untrusted(f"not a file of {KEY_OCTETS} octets")
    if status.st_mode & 0o077:
        raise Untrusted("others than its owner may read or write it")
    if _of_login_stages(status):
        raise Untrusted(f"belongs to {installed.MAILUSER}, as whom clients log in")


def _of_login_stages(status: os.stat_result) -> bool:
    """Whether it belongs to whom the login stages are when they have given up root."""
    if os.geteuid() != 0 or status.st_uid == 0:
        return False
    import pwd

    try:
        return pwd.getpwnam(installed.MAILUSER).pw_uid == status.st_uid
    except KeyError:
        return False
