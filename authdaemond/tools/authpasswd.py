"""authpasswd(1): make a hash of a password, in any of the schemes that the back ends understand."""

from __future__ import annotations

import os

from authdaemond import passwords
from authdaemond.tools import terminal


def main(argv: list[str]) -> int:
    """Run authpasswd."""
    if len(argv) > 2 or (len(argv) == 2 and argv[1].startswith("-")):
        terminal.complain(f"Usage: {argv[0]} [SCHEME]  (MD5, MD5RAW, SHA, SSHA, SHA256, SHA512; none is MD5-crypt)")
        return 1
    scheme = os.fsencode(argv[1]) if len(argv) == 2 else b"$1$"
    try:
        value = passwords.encrypt(terminal.new_password(), scheme)
    except terminal.Unanswered as error:
        if str(error):
            terminal.complain(str(error))
        return 1
    except ValueError:  # no part of a password may be shown
        terminal.complain("This password cannot be hashed: it holds a NUL octet or is too long.")
        return 1
    terminal.write([value, b"\n"])
    return 0
