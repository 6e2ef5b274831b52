"""maildirkw: list and set the keywords of messages.  The manual page is maildirkw(1)."""

from __future__ import annotations

import errno
import os
import sys

from maildir import fs, keywordlist, names
from maildir.keywords import Keywords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def main(argv: list[str]) -> int:
    """Run the program; returns its exit status."""
    try:
        options = _options(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    folder = os.fsencode(options.folder)
    try:
        if options.list:
            _print(keywords_of(folder), options.json)
        else:
            change(folder, os.fsencode(options.message), list(map(os.fsencode, options.keywords)), options.mode)
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename else options.folder
        print(f"maildirkw: {where}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _options(argv: list[str]) -> Namespace:
    from argparse import SUPPRESS, ArgumentParser

    parser = ArgumentParser(
        prog="maildirkw",
        usage="maildirkw [-l] [-a | -r] DIR NAME [KEYWORD...]\n       maildirkw -L [--json] DIR",
        description="List or set the keywords of messages in a folder.",
    )
    parser.add_argument("-L", dest="list", action="store_true", help="list the messages that have keywords")
    parser.add_argument("--json", action="store_true", help="with -L: as JSON")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-a", dest="mode", action="store_const", const="add", help="add the keywords to those it has")
    how.add_argument("-r", dest="mode", action="store_const", const="remove", help="remove the keywords from it")
    parser.add_argument("-l", dest="lock", action="store_true", help="lock the folder (always done)")
    parser.add_argument("-c", dest="case", action="store_true", help=SUPPRESS)
    parser.add_argument("folder", metavar="DIR", help="the directory of the folder, which has cur, new and tmp")
    parser.add_argument("message", metavar="NAME", nargs="?", help="the name of the message's file")
    parser.add_argument("keywords", metavar="KEYWORD", nargs="*", help="its keywords; none: it has none any more")
    options = parser.parse_args(argv[1:])
    _check(parser, options)
    return options


def _check(parser: ArgumentParser, options: Namespace) -> None:
    """End the program with the usage when the words do not fit together."""
    if options.case:
        parser.error("-c: keywords that differ in upper and lower case are for SMAP, which is not there yet")
    if options.list:
        if options.mode or options.message is not None:
            parser.error("-L lists a folder: give it DIR and nothing else")
    elif options.json:
        parser.error("--json is for the list: give -L with it")
    elif options.message is None:
        parser.error("which message? give the name of its file after DIR, or -L to list the folder")
    elif options.mode and not options.keywords:
        parser.error("-a and -r need a keyword at least")
    for keyword in options.keywords:
        if not keywordlist.is_keyword(os.fsencode(keyword)):
            parser.error(f"{keyword[:40]!r}: a keyword is one line of at most {keywordlist.MAX_LENGTH} bytes")


def keywords_of(folder: bytes) -> dict[bytes, frozenset[bytes]]:
    """The keywords of the messages that have any, by base name in order; nothing is written."""
    bases = {names.base(name) for part in (b"/new", b"/cur") for name in fs.listdir(folder + part)}
    return dict(sorted(Keywords(folder).read(bases, write=False).items()))


def change(folder: bytes, message: bytes, keywords: list[bytes], mode: str | None) -> None:
    """Set (None), "add" or "remove" keywords of a message; FileNotFoundError when there is none of that name."""
    base = names.base(os.path.basename(message))
    # In this order: one that is moved from new/ to cur/ meanwhile is found.
    if not any(names.base(name) == base for part in (b"/new", b"/cur") for name in fs.listdir(folder + part)):
        raise FileNotFoundError(errno.ENOENT, "no message of that name in cur or new", folder + b"/" + message)
    stored = Keywords(folder)
    if mode == "add":
        stored.change([base], add=keywords)
    elif mode == "remove":
        stored.change([base], remove=keywords)
    else:
        stored.replace([base], keywords)


def _print(by_base: dict[bytes, frozenset[bytes]], as_json: bool) -> None:
    if as_json:
        import json

        rows = [
            {"message": os.fsdecode(base), "keywords": [os.fsdecode(keyword) for keyword in sorted(keywords)]}
            for base, keywords in by_base.items()
        ]
        print(json.dumps(rows, indent=2))
        return
    for base, keywords in by_base.items():
        sys.stdout.buffer.write(b" ".join([base, *sorted(keywords)]) + b"\n")
    sys.stdout.buffer.flush()
