"""What authdaemond expects of a back end.

A back end is one file in authdaemond/modules, whose name is the word that authmodulelist has, and whose BACKEND is a
class like the one below.  The file is imported only when it is listed, in the parent; the object is made in each
worker, so that it may hold connections and child processes of its own.  Workers are single-threaded and exchange
one request at a time.
"""

from __future__ import annotations

import pwd

from authdaemond import authdata, protocol
from authdaemond.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SMALLEST_ENUMERATED_UID = 100  # below are the system's own accounts


class Reject(Exception):
    """There is no such account here, or the credentials are wrong: the next back end is asked."""


class NotSupported(Reject):
    """The back end cannot do that at all: the next one is asked."""


class TemporaryFailure(Exception):
    """The question cannot be answered now: no further back end is asked, and the client is told to try later.

    The text is one line for the administrator: what is wrong, with what, and what helps.
    """


class Backend:
    """A back end that has no account.  Methods raise Reject, NotSupported or TemporaryFailure.

    A wrong password and an unknown user must take the same time: see passwords.pretend().
    """

    def authenticate(self, request: protocol.Authenticate) -> Account:
        """The account of credentials; authdata.parse() reads them."""
        raise NotSupported

    def lookup(self, request: protocol.Lookup) -> Account:
        """The account of a user id, no password asked."""
        raise NotSupported

    def change_password(self, request: protocol.ChangePassword) -> None:
        """Replace a password, if the old one is right."""
        raise NotSupported

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        """All accounts, in any order."""
        raise NotSupported

    def idle(self) -> None:
        """Called when there was no request for a while: let go of what can be had again."""

    def close(self) -> None:
        """Called when the worker ends: leave nothing running behind."""


def plain_login(request: protocol.Authenticate) -> authdata.Login:
    """The credentials of a request, for back ends that need the password itself.  Raises Reject."""
    credentials = authdata.parse(request.authtype, request.data)
    if not isinstance(credentials, authdata.Login):
        raise Reject
    return credentials


def system_entry(userid: bytes) -> pwd.struct_passwd:
    """The passwd entry of a user id.  Raises Reject, and TemporaryFailure when the system cannot say."""
    if not userid or protocol.has_controls(userid):
        raise Reject
    try:
        return pwd.getpwnam(userid.decode("utf-8", "surrogateescape"))
    except KeyError:
        raise Reject from None
    except OSError as error:
        raise TemporaryFailure(f"getpwnam: {error.strerror}; see nsswitch.conf(5)") from None


def system_account(entry: pwd.struct_passwd) -> Account:
    """The account of a passwd entry, without passwords."""
    name = entry.pw_name.encode("utf-8", "surrogateescape")
    home = entry.pw_dir.encode("utf-8", "surrogateescape")
    account = Account(address=name, home=home, gid=entry.pw_gid, username=entry.pw_name)
    account.fullname = entry.pw_gecos.encode("utf-8", "surrogateescape").partition(b",")[0]
    return account


def system_accounts() -> Iterator[protocol.Enumerated]:
    """The passwd entries that may be people."""
    for entry in pwd.getpwall():
        if entry.pw_uid >= SMALLEST_ENUMERATED_UID:
            account = system_account(entry)
            yield protocol.Enumerated(account.address, entry.pw_uid, entry.pw_gid, account.home, b"", b"")
