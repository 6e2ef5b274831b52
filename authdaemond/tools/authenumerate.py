"""authenumerate(1): list the accounts that authdaemond knows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from authdaemond import client
from authdaemond.protocol import Enumerated
from authdaemond.tools import terminal
from couriertcpd import environ

_OPTIONS = ("-s", "-o", "--json")


def main(argv: list[str]) -> int:
    """Run authenumerate; 1 when the list was cut off."""
    given = argv[1:]
    if any(word not in _OPTIONS for word in given):
        terminal.complain("Usage: authenumerate [-s] [-o] [--json]")
        return 1
    accounts = client.enumerate_accounts()
    if "-s" in given:
        accounts = (account for account in accounts if not _unshared(account.options))
    try:
        terminal.write(_json(accounts) if "--json" in given else _lines(accounts, "-o" in given))
    except client.TemporaryFailure:  # has been logged, with the reason
        return 1
    return 0


def _unshared(options: bytes) -> bool:
    """The account option disableshared is there, and not 0."""
    for option in options.split(b","):
        name, _, value = option.partition(b"=")
        if name == b"disableshared":
            return environ.atoi(os.fsdecode(value)) != 0
    return False


def _lines(accounts: Iterator[Enumerated], options: bool) -> Iterator[bytes]:
    for account in accounts:
        fields = [account.userid, b"%d" % account.uid, b"%d" % account.gid, account.home, account.maildir]
        yield b"\t".join([*fields, account.options] if options else fields) + b"\n"


def _json(accounts: Iterator[Enumerated]) -> Iterator[bytes]:
    """One array; nothing is written before the list is known to be complete."""
    listed = [
        {
            "user": os.fsdecode(account.userid),
            "uid": account.uid,
            "gid": account.gid,
            "home": os.fsdecode(account.home),
            "maildir": os.fsdecode(account.maildir) or None,
            "options": os.fsdecode(account.options) or None,
        }
        for account in accounts
    ]
    yield json.dumps(listed, indent=2).encode("ascii") + b"\n"
