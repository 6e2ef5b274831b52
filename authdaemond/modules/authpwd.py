"""authpwd: the system's accounts, with hashes that stand in the passwd file itself."""

from collections.abc import Iterator

from authdaemond import passwords, protocol
from authdaemond.account import Account
from authdaemond.backend import Backend, Reject, plain_login, system_account, system_accounts, system_entry


class Pwd(Backend):
    """getpwnam(3) and nothing else.  Passwords are changed with passwd(1)."""

    def authenticate(self, request: protocol.Authenticate) -> Account:
        """The account of a password."""
        login = plain_login(request)
        try:
            entry = system_entry(login.userid)
        except Reject:
            passwords.pretend(login.password)
            raise
        stored = entry.pw_passwd.encode("utf-8", "surrogateescape")
        if not passwords.verify(login.password, stored):
            raise Reject
        account = system_account(entry)
        account.passwd, account.passwd2 = stored, login.password
        return account

    def lookup(self, request: protocol.Lookup) -> Account:
        """The account of a name."""
        return system_account(system_entry(request.userid))

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        """The passwd entries that may be people."""
        return system_accounts()


BACKEND = Pwd
