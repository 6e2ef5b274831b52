"""makeuserdb(8): build userdb.dat and userdbshadow.dat from the text of userdb.

Everything but passwords goes to the first, which everybody may read; passwords to the second.  Each record of the
first also tells which file of a userdb folder it came from.  Nothing is replaced unless everything could be built.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator

from authdaemond import userdbsource
from authdaemond.tools import terminal
from couriertcpd import filelock, gdbmfile, installed

_PASSWORD = re.compile(rb"[^=]*pw=")
_PROGRESS_RECORDS = 20000


class Refused(Exception):
    """The source or a database may not be used; the text is the original's."""


def build(source: str) -> None:
    """Build the databases of a userdb file or folder.

    Raises Refused, BadSource, CannotBuild, Busy, OSError; then the old databases are untouched.
    """
    public, shadow = f"{source}.dat", f"{source}shadow.dat"
    _check(source, public, shadow)
    with (
        filelock.exclusive(f"{source}.lock", 0o644),
        gdbmfile.building(f"{source}.tmp", 0o644) as new_public,
        gdbmfile.building(f"{source}shadow.tmp", 0o600) as new_shadow,
    ):
        _store(_counted(userdbsource.records(source)), new_public, new_shadow)
        new_public.finish()
        new_shadow.finish()
        new_shadow.publish(shadow)
        new_public.publish(public)


def _check(source: str, public: str, shadow: str) -> None:
    try:
        mode = os.stat(source).st_mode
    except FileNotFoundError:
        raise Refused(f"{source}: not found.") from None
    if mode & 0o077:
        raise Refused(f"{source}: MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!")
    for path in (source, public, shadow):
        if os.path.islink(path):
            raise Refused(f"ERROR: Wrong makeuserdb command.\n       ({path} is a symbolic link)")


def _store(records: Iterable[userdbsource.Record], public: gdbmfile.NewFile, shadow: gdbmfile.NewFile) -> None:
    places: dict[bytes, str] = {}
    for record in records:
        passwords = [field for field in record.fields if _PASSWORD.match(field)]
        others = [field for field in record.fields if not _PASSWORD.match(field)]
        try:
            public.add(record.name, b"|".join([*others, b"_=" + record.location]))
            if passwords:
                shadow.add(record.name, b"|".join(passwords))
        except gdbmfile.DuplicateKey as error:
            where = f"{record.place}: the same name as {places[record.name]}; remove one of the two"
            raise gdbmfile.DuplicateKey(f"{error}\n{where}") from error
        places[record.name] = record.place


def _counted(records: Iterable[userdbsource.Record]) -> Iterator[userdbsource.Record]:
    """The records as they are; on a terminal a long run shows how far it is."""
    watched = sys.stderr.isatty()
    count = 0
    for count, record in enumerate(records, 1):
        if watched and count % _PROGRESS_RECORDS == 0:
            sys.stderr.write(f"\r{count} records")
        yield record
    if watched and count >= _PROGRESS_RECORDS:
        sys.stderr.write(f"\r{count} records\n")


def main(argv: list[str]) -> int:
    """Run makeuserdb."""
    source = installed.USERDB
    if len(argv) == 3 and argv[1] == "-f":
        source = argv[2].removesuffix("/")
    elif len(argv) != 1:
        terminal.complain(f"Usage: {argv[0]} [-f FILE]")
        return 1
    try:
        build(source)
    except (Refused, userdbsource.BadSource, gdbmfile.CannotBuild, filelock.Busy) as error:
        terminal.complain(str(error))
        return 1
    except OSError as error:
        terminal.complain(f"{error.filename or source}: {error.strerror}")
        return 1
    return 0
