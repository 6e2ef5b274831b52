"""authtest(1): ask authdaemond about an account, check a password, or change it."""

from __future__ import annotations

import errno
import json
import os

from authdaemond import authdata, client
from authdaemond.account import Account
from authdaemond.tools import terminal
from couriertcpd import environ


class _Misused(Exception):
    """The command line makes no sense."""


class _Request:
    """A command line, taken apart: who, and none, one or two passwords."""

    def __init__(self, argv: list[str]) -> None:
        words = argv[1:]
        self.service = b"login"
        self.json = False
        while words and words[0].startswith("-"):
            option = words.pop(0)
            if option == "--json":
                self.json = True
            elif option == "-s" and words:
                self.service = os.fsencode(words.pop(0))
            else:
                raise _Misused
        if not 1 <= len(words) <= 3:
            raise _Misused
        self.userid = os.fsencode(words[0])
        self.passwords = words[1:]

    def answered(self) -> list[bytes]:
        """The passwords, those given as `-` asked for.  Raises Unanswered."""
        prompts = ("Password: ", "New password: ")
        return [
            terminal.ask(prompt, echo=False) if word == "-" else os.fsencode(word)
            for prompt, word in zip(prompts, self.passwords, strict=False)
        ]


def main(argv: list[str]) -> int:
    """Run authtest."""
    try:
        request = _Request(argv)
    except _Misused:
        terminal.complain("Usage: authtest [-s service] [--json] userid [ password [ newpassword ] ]")
        terminal.complain("       A password given as - is asked for, so that nobody sees it in the list of processes.")
        return 1
    if not environ.is_set("TCPREMOTEIP"):
        environ.put("TCPREMOTEIP", "::1")
    try:
        _run(request, request.answered())
    except terminal.Unanswered as error:
        terminal.complain(str(error) or "No password was given.")
        return 1
    except ValueError:  # encode_login's; the text may not show the password
        terminal.complain(f"Authentication FAILED: {os.strerror(errno.EINVAL)}")
        return 1
    except client.Rejected:
        terminal.complain(f"Authentication FAILED: {os.strerror(errno.EPERM)}")
        return 1
    except client.TemporaryFailure:  # has been logged, with the reason
        terminal.complain(f"Authentication FAILED: {os.strerror(errno.EIO)}")
        return 1
    return 0


def _run(request: _Request, passwords: list[bytes]) -> None:
    if len(passwords) == 2:
        client.change_password(request.service, request.userid, *passwords)
        terminal.complain("Password change succeeded.")
        return
    if passwords:
        data = authdata.encode_login(request.userid, passwords[0])
        account = client.authenticate(request.service, b"login", data)
    else:
        account = client.lookup(request.service, request.userid)
    terminal.write([_json(account) if request.json else _report(account)])


def _report(account: Account) -> bytes:
    if account.username is not None:
        ids = f" (system username: {account.username})"
    else:
        ids = f" (uid {account.uid}, gid {account.gid})"
    rows = (
        ("Home Directory", account.home),
        ("Maildir", account.maildir),
        ("Quota", account.quota),
        ("Encrypted Password", account.passwd),
        ("Cleartext Password", account.passwd2),
        ("Options", account.options),
    )
    lines = [b"Authentication succeeded.", b"", b"     Authenticated: %s %s" % (account.address, os.fsencode(ids))]
    lines += [b"%18s: %s" % (label.encode("ascii"), value or b"(none)") for label, value in rows]
    return b"\n".join(lines) + b"\n"


def _json(account: Account) -> bytes:
    texts = ("address", "fullname", "home", "maildir", "quota", "passwd", "passwd2", "options")
    known: dict[str, object] = {name: os.fsdecode(getattr(account, name)) or None for name in texts}
    known |= {"uid": account.uid, "gid": account.gid, "username": account.username}
    return json.dumps(known, indent=2).encode("ascii") + b"\n"
