"""makedatprog: a GDBM file from one text, for scripts that prepare it themselves.

The text ends with a line that is a dot alone.  Without it the writer died half-way, and nothing is built.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import BinaryIO

from couriertcpd import filelock, gdbmfile, makedat


def entries(stream: BinaryIO, name: str) -> Iterator[makedat.Entry]:
    """The records up to the dot.  Raises BadSource."""
    place = f"{name}:1"
    for place, line in makedat.lines(stream, name):
        if line == b".":
            return
        record = makedat.entry(place, line)
        if record is not None:
            yield record
    raise makedat.BadSource(f"{place}: the text ends without a line that is a dot alone; nothing was changed")


def main(argv: list[str]) -> int:
    """Run makedatprog."""
    if len(argv) != 4:
        print(f"Usage: {argv[0]} textfile tmpfile gdbmfile", file=sys.stderr)
        return 1
    source, temporary, target = argv[1:]
    try:
        if source == "-":
            makedat.build(entries(sys.stdin.buffer, "standard input"), temporary, target)
        else:
            with open(source, "rb") as stream:
                makedat.build(entries(stream, source), temporary, target)
    except (makedat.BadSource, gdbmfile.CannotBuild, filelock.Busy) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or source}: {error.strerror}", file=sys.stderr)
        return 1
    return 0
