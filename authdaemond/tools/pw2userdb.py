"""pw2userdb(8): write the accounts of passwd and shadow files as userdb text.

The output holds the hashes of the passwords: it belongs into a file that only root may read.
"""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Iterable, Iterator
from typing import NamedTuple, NoReturn

from authdaemond.tools import terminal

MAX_LINE = 65536  # octets


class BadPasswd(Exception):
    """A file that cannot be converted; the text is one line that names file, line and remedy."""


class User(NamedTuple):
    """A line of passwd; `hash` is b"" where it says that the hash is elsewhere."""

    name: bytes
    hash: bytes
    uid: bytes
    gid: bytes
    gecos: bytes
    home: bytes
    shell: bytes


def users(path: str) -> Iterator[User]:
    """The accounts of a passwd file; comments, empty lines and NIS lines (+, -) are left out.

    A vpasswd file of vpopmail has further fields, which do not matter.  Raises BadPasswd, OSError.
    """
    for place, line in _lines(path):
        fields = line.split(b":")
        if not fields[0] or fields[0][:1] in b"+-":
            continue
        if len(fields) < 6 or b"\t" in line:
            raise BadPasswd(f"{place}: not a passwd line (name:hash:uid:gid:gecos:home:shell); repair or remove it")
        name, stored, uid, gid, gecos, home, shell = (*fields, b"")[:7]
        if any(b"|" in field for field in (name, stored, uid, gid, home, shell)):
            raise BadPasswd(f"{place}: a | which userdb cannot hold; change the account")
        yield User(name, b"" if stored == b"x" else stored, uid, gid, gecos.replace(b"|", b"."), home, shell)


def hashes(path: str) -> dict[bytes, bytes]:
    """The hashes of a shadow file; none when it does not exist.  Raises BadPasswd, OSError."""
    if not os.path.isfile(path):
        return {}
    return {name: rest.partition(b":")[0] for name, _, rest in (line.partition(b":") for _, line in _lines(path))}


def _lines(path: str) -> Iterator[tuple[str, bytes]]:
    """The lines that are neither empty nor comments."""
    with open(path, "rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE + 1), b""), 1):
            if len(line) > MAX_LINE:
                raise BadPasswd(f"{path}:{number}: longer than {MAX_LINE} octets; not a passwd file")
            if line.strip() and not line.startswith(b"#"):
                yield f"{path}:{number}", line.removesuffix(b"\n")


def converted(found: Iterable[User], shadowed: dict[bytes, bytes], domain: str, reverse: bool) -> Iterator[bytes]:
    """The lines of userdb; with reverse also the way from each uid to its name, the first of several as getpwuid()."""
    suffix = os.fsencode(f"@{domain}") if domain else b""
    seen: set[bytes] = set()
    for user in found:
        optional = (
            (b"shell", user.shell),
            (b"systempw", shadowed.get(user.name, user.hash)),
            (b"gecos", user.gecos),
        )
        fields = [b"uid=" + user.uid, b"gid=" + user.gid, b"home=" + user.home]
        fields += [name + b"=" + value for name, value in optional if value]
        yield user.name + suffix + b"\t" + b"|".join(fields) + b"\n"
        if reverse and user.uid not in seen:
            seen.add(user.uid)
            yield user.uid + b"=\t" + user.name + b"\n"


def vpopmail(found: Iterable[User]) -> Iterator[User]:
    """The accounts with vpopmail's uid and gid in place of their own.  Raises BadPasswd."""
    try:
        owner = pwd.getpwnam("vpopmail")
    except KeyError:
        raise BadPasswd("there is no account vpopmail here, whose uid and gid these accounts get; add it") from None
    for user in found:
        yield user._replace(uid=b"%d" % owner.pw_uid, gid=b"%d" % owner.pw_gid)


class _Parser(argparse.ArgumentParser):
    """Leaves as the original does."""

    def error(self, message: str) -> NoReturn:
        terminal.complain(message)
        terminal.complain("Invalid options.")
        raise SystemExit(1)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog=os.path.basename(argv[0]), description="Write passwd and shadow as userdb text.")
    parser.add_argument("--passwd", default="/etc/passwd", metavar="FILE", help="instead of /etc/passwd")
    parser.add_argument("--shadow", default="/etc/shadow", metavar="FILE", help="instead of /etc/shadow")
    parser.add_argument("--noshadow", action="store_true", help="read no shadow file")
    parser.add_argument("--nouid", action="store_true", help="no entries that lead from a uid to a name")
    parser.add_argument("--domain", default="", help="added to each name, after an @")
    parser.add_argument("--vpopuid", action="store_true", help="vpopmail's uid and gid for every account")
    return parser.parse_args(argv[1:])


def main(argv: list[str]) -> int:
    """Run pw2userdb."""
    try:
        options = _arguments(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    try:
        found: Iterable[User] = list(users(options.passwd))
        if options.vpopuid:
            found = list(vpopmail(found))
        shadowed = {} if options.noshadow else hashes(options.shadow)
    except BadPasswd as error:
        terminal.complain(str(error))
        return 1
    except OSError as error:
        terminal.complain(f"{error.filename}: {error.strerror}")
        return 1
    terminal.write(converted(found, shadowed, options.domain, not options.nouid))
    return 0
