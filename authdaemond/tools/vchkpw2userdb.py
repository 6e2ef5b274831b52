"""vchkpw2userdb(8): write the accounts of a vpopmail installation as userdb text.

`users/vpasswd` holds accounts without a domain, `domains/DOMAIN/vpasswd` those of a domain, which may lie a few
folders deeper on large installations.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import NoReturn

from authdaemond.tools import terminal
from authdaemond.tools.pw2userdb import BadPasswd, converted, users, vpopmail

_MAX_DEPTH = 4  # folders between `domains` and a domain


class _Parser(argparse.ArgumentParser):
    """A wrong option ends the program with 1, as in its companions."""

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        terminal.complain(message)
        raise SystemExit(1)


def domains(folder: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each domain below `folder` and its vpasswd file, by name.  Raises OSError."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        path = os.path.join(entry.path, "vpasswd")
        if os.path.exists(path):
            yield entry.name, path  # what lies below are mailboxes
        elif depth < _MAX_DEPTH:
            yield from domains(entry.path, depth + 1)


def sources(home: str) -> Iterator[tuple[str, str]]:
    """Every vpasswd file as domain ("" for `users`) and path.  Raises BadPasswd, OSError."""
    found = False
    plain = os.path.join(home, "users", "vpasswd")
    if os.path.exists(plain):
        found = True
        yield "", plain
    if os.path.isdir(os.path.join(home, "domains")):
        for domain, path in domains(os.path.join(home, "domains")):
            found = True
            yield domain, path
    if not found:
        raise BadPasswd(f"{home}: no users/vpasswd and no domains/DOMAIN/vpasswd there; give --vpopmailhome=DIR")


def _home() -> str:
    try:
        return pwd.getpwnam("vpopmail").pw_dir
    except KeyError:
        raise BadPasswd("there is no account vpopmail here; add it, its uid and gid go into every record") from None


def _lines(domain: str, path: str) -> Iterator[bytes]:
    return converted(list(vpopmail(users(path))), {}, domain, reverse=False)


def _into(folder: str, domain: str, path: str) -> None:
    """Write one file of a userdb folder: `users`, or the domain's name in `domains`."""
    parent, name = (os.path.join(folder, "domains"), domain) if domain else (folder, "users")
    for needed in (folder, parent):
        with contextlib.suppress(FileExistsError):
            os.mkdir(needed, 0o700)
    temporary = os.path.join(parent, f".tmp.{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.writelines(_lines(domain, path))
        stream.flush()
        os.fsync(descriptor)
    os.rename(temporary, os.path.join(parent, name))


def main(argv: list[str]) -> int:
    """Run vchkpw2userdb."""
    parser = _Parser(prog=os.path.basename(argv[0]), description="Write vpopmail's accounts as userdb text.")
    parser.add_argument("--vpopmailhome", metavar="DIR", help="instead of the home of the account vpopmail")
    parser.add_argument("--todir", metavar="DIR", help="one file there for each vpasswd, instead of standard output")
    try:
        options = parser.parse_args(argv[1:])
        for domain, path in list(sources(options.vpopmailhome or _home())):
            if options.todir:
                _into(options.todir, domain, path)
            else:
                terminal.write(_lines(domain, path))
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except BadPasswd as error:
        terminal.complain(str(error))
        return 1
    except OSError as error:
        terminal.complain(f"{error.filename}: {error.strerror}")
        return 1
    return 0
