"""Becoming a mail account, for good.

The order matters: supplementary groups, then the group, then the user.  Afterwards the change is checked by trying to
go back, because a process that believes it is unprivileged and is not is worse than one that stops.
"""

import os


class NotPermitted(Exception):
    """The process cannot become that account, or could come back from it."""


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


def _check_irrevocable(uid: int, gid: int) -> None:
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise NotPermitted(f"the change to uid {uid} gid {gid} did not take effect")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise NotPermitted(f"uid {uid} could become root again")
