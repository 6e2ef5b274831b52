"""Becoming a mail account, for good, or nobody in particular, with nothing left that could be abused.

The order matters: supplementary groups, then the group, then the user.  Afterwards the change is checked, because a
process that believes it is unprivileged and is not is worse than one that stops.
"""

import os

from couriertcpd import installed

# prctl(2), capabilities(7)
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_STATUS_OCTETS = 65536  # of /proc/self/status, at most


class NotPermitted(Exception):
    """The process cannot become that account, or could come back from it."""


class _Kernel:
    """The system calls that Python has no names for, and what they are given."""

    def __init__(self) -> None:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        self.prctl, self.capset = library.prctl, library.capset
        self.capability_header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        self.no_capabilities = (ctypes.c_uint32 * 6)()
        self.capabilities = 0  # how many there are
        while self.prctl(_PR_CAPBSET_READ, self.capabilities, 0, 0, 0) >= 0:
            self.capabilities += 1


_kernel: _Kernel | None = None


def prepare() -> None:
    """Do what renounce() needs once, for children that are still to be forked."""
    global _kernel
    _kernel = _Kernel()


def become(uid: int, gid: int, username: str | None = None) -> None:
    """Become uid and gid irrevocably; with username, take that system account's supplementary groups too.

    Root is never become: mail is not served as root.  Started without root, the process can only be what it already is.
    Raises NotPermitted.
    """
    if uid == 0:
        raise NotPermitted("uid 0: mail is never served as root")
    if os.geteuid() != 0:
        if (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) != (uid, uid, gid, gid):
            raise NotPermitted(f"started as uid {os.geteuid()}, cannot become uid {uid} gid {gid}")
        return
    try:
        if username is not None:
            os.initgroups(username, gid)
        else:
            os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise NotPermitted(f"cannot become uid {uid} gid {gid}: {error.strerror}") from error
    _check_irrevocable(uid, gid)


def renounce(uid: int, gid: int, groups: list[int], *, files: bool = True) -> None:
    """Become uid and gid with these supplementary groups, without any capability, and never gain a privilege again.

    The process cannot be looked into by others of the same user, and no program that it may run can give it more than
    it has; with files=False it has no way to a file by a name.  Started without root, it stays who it is, and only that
    about programs holds.  Raises NotPermitted.
    """
    kernel = _kernel or _Kernel()
    as_root = os.geteuid() == 0
    try:
        status = open("/proc/self/status", "rb", buffering=0)
    except OSError as error:
        raise NotPermitted(f"/proc is needed to see that privileges are gone: {error.strerror}") from error
    with status:
        _renounce(kernel, uid, gid, groups, as_root, files)
        _check_renounced(status.read(_STATUS_OCTETS), as_root)
    if as_root:
        _check_irrevocable(uid, gid)


def _renounce(kernel: _Kernel, uid: int, gid: int, groups: list[int], as_root: bool, files: bool) -> None:
    if as_root:
        if uid == 0:
            raise NotPermitted("uid 0: that would renounce nothing")
        for capability in range(kernel.capabilities):
            kernel.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        try:
            if not files:
                _leave_files()
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        except OSError as error:
            raise NotPermitted(f"cannot become uid {uid} gid {gid}: {error.strerror}") from error
        kernel.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        kernel.capset(kernel.capability_header, kernel.no_capabilities)
        kernel.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _leave_files() -> None:
    """Make an empty directory that exists no more our root: nobody can put anything there.  Raises OSError."""
    folder = next((path for path in (installed.LOCALSTATEDIR, "/run", "/tmp") if os.access(path, os.W_OK)), "/")  # noqa: S108
    place = os.path.join(folder, f".empty.{os.getpid()}")
    os.mkdir(place, 0o700)
    try:
        os.chdir(place)
    finally:
        os.rmdir(place)
    os.chroot(".")


def _check_renounced(told: bytes, as_root: bool) -> None:
    """Look at what the kernel says.  The bounding set is empty unless root itself had no right to empty it."""
    status = dict(line.split(b":\t", 1) for line in told.splitlines() if b":\t" in line)
    if status.get(b"NoNewPrivs") != b"1":
        raise NotPermitted("no_new_privs did not take effect")
    for name in (b"CapInh", b"CapPrm", b"CapEff", b"CapAmb") if as_root else ():
        if int(status.get(name, b"1"), 16):
            raise NotPermitted(f"{name.decode()} did not become empty")


def _check_irrevocable(uid: int, gid: int) -> None:
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise NotPermitted(f"the change to uid {uid} gid {gid} did not take effect")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise NotPermitted(f"uid {uid} could become root again")
