"""authshadow: the system's accounts, with hashes and expiry dates from /etc/shadow, which only root may read."""

import time
from collections.abc import Iterator

from authdaemond import passwords, protocol
from authdaemond.account import Account
from authdaemond.backend import (
    Backend,
    Reject,
    TemporaryFailure,
    plain_login,
    system_account,
    system_accounts,
    system_entry,
)

SHADOW = "/etc/shadow"
_DAY_SECONDS = 86400


class Entry:
    """A line of shadow(5): a hash, and days since 1970 (or a number of days), -1 for a field that is empty."""

    __slots__ = ("changed", "expires", "hash", "longest")

    def __init__(self, stored: bytes, changed: int, longest: int, expires: int) -> None:
        self.hash, self.changed, self.longest, self.expires = stored, changed, longest, expires

    def expired(self, today: int) -> bool:
        """True when the account or its password is over."""
        if 0 <= self.expires < today:
            return True
        return self.changed >= 0 and self.longest >= 0 and self.changed + self.longest < today


def parse(line: bytes) -> Entry:
    """The entry of a line; fields that are missing or no numbers count as empty."""
    fields = line.rstrip(b"\n").split(b":")
    fields += [b""] * (9 - len(fields))
    changed, longest, expires = (int(text) if text.isdigit() else -1 for text in (fields[2], fields[4], fields[7]))
    return Entry(fields[1], changed, longest, expires)


def find(name: bytes, path: str) -> Entry | None:
    """The entry of a name.  Raises TemporaryFailure when the file cannot be read; a system without one has none."""
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(name + b":"):
                    return parse(line)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TemporaryFailure(f"{path}: {error.strerror}; authshadow needs authdaemond to run as root") from None
    return None


class Shadow(Backend):
    """Only the password is asked of the shadow file; everything else is getpwnam(3)'s."""

    def __init__(self, path: str = SHADOW) -> None:
        self._path = path

    def authenticate(self, request: protocol.Authenticate) -> Account:
        """The account of a password, if neither is expired."""
        login = plain_login(request)
        try:
            entry = system_entry(login.userid)
            shadow = self._shadow(entry.pw_name)
        except Reject:
            passwords.pretend(login.password)
            raise
        if not passwords.verify(login.password, shadow.hash):
            raise Reject
        account = system_account(entry)
        account.passwd, account.passwd2 = shadow.hash, login.password
        return account

    def lookup(self, request: protocol.Lookup) -> Account:
        """The account of a name, if it is not expired."""
        entry = system_entry(request.userid)
        shadow = self._shadow(entry.pw_name)
        account = system_account(entry)
        account.passwd = shadow.hash
        return account

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        """The passwd entries that may be people."""
        return system_accounts()

    def _shadow(self, name: str) -> Entry:
        shadow = find(name.encode("utf-8", "surrogateescape"), self._path)
        if shadow is None or shadow.expired(int(time.time()) // _DAY_SECONDS):
            raise Reject
        return shadow


BACKEND = Shadow
