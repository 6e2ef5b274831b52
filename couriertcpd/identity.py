"""The user and group of -user and -group: looked up before anything starts, taken when everything is open."""

import grp
import os
import pwd
from dataclasses import dataclass

from couriertcpd.switches import Misuse


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become; username is None unless the user was given by name, None for uid or gid: stay what you are."""

    uid: int | None = None
    gid: int | None = None
    username: str | None = None

    def assume(self) -> None:
        """Become it, for good: groups, then group, then user.  Raises OSError."""
        if os.geteuid() != 0:
            return  # find() has seen that there is nothing to change
        if self.username is not None and self.gid is not None:
            os.initgroups(self.username, self.gid)
        elif self.gid is not None:
            os.setgroups([self.gid])
        if self.gid is not None:
            os.setresgid(self.gid, self.gid, self.gid)
        if self.uid is not None:
            os.setresuid(self.uid, self.uid, self.uid)


def find(user: str | None, group: str | None) -> Identity:
    """Look up -user and -group, each a name or a number or None.  Raises Misuse, also when we may not become it."""
    gid = _group(group) if group else None
    uid, username = None, None
    if user:
        entry = _user(user)
        uid = entry.pw_uid if entry else int(user[:10])
        username = entry.pw_name if entry and not user.isdigit() else None
        gid = gid if gid is not None else (entry.pw_gid if entry else None)
    if os.geteuid() != 0 and (uid not in (None, os.geteuid()) or gid not in (None, os.getegid())):
        raise Misuse(f"Cannot become user {user or '(as now)'}, group {group or '(as now)'}: not started by root.")
    return Identity(uid, gid, username)


def _group(group: str) -> int:
    try:
        return int(group[:10]) if group.isascii() and group.isdigit() else grp.getgrnam(group).gr_gid
    except (KeyError, ValueError) as error:
        raise Misuse(f"Group not found: {group}") from error


def _user(user: str) -> pwd.struct_passwd | None:
    """The account's entry; None for a number that no account has."""
    if not (user.isascii() and user.isdigit()):
        try:
            return pwd.getpwnam(user)
        except (KeyError, ValueError) as error:
            raise Misuse(f"User not found: {user}") from error
    try:
        return pwd.getpwuid(int(user[:10]))
    except KeyError:
        return None
