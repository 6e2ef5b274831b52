"""maildirindex: build, check, drop the indexes of a maildir's folders, or tell what they hold.

The manual page is maildirindex(1).
"""

from __future__ import annotations

import os
import sys
import time

from couriertcpd import environ, installed, privileges, sysconf
from maildir import indexfile
from maildir.account import INBOX, Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from imapd.indexcheck import Database

    Row = dict[str, Any]

_SETTINGS = ("IMAP_INDEX", "IMAP_FTS")  # of the server's, which this program needs too
_TOLD_SECONDS = 0.1  # between two lines of progress


class Refused(Exception):
    """It cannot be done; the text says why, and what to do."""


def main(argv: list[str]) -> int:
    """Run the program; returns its exit status: 1 when something failed or is wrong."""
    try:
        options = _options(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    try:
        _take_over_settings()  # which only root may read
        _enter(options.maildir)
        act = {"build": _build, "check": _check, "drop": _drop, "stats": _stats}[options.action]
        rows = [{"folder": _shown(folder), **act(folder)} for folder in _folders(options)]
    except (Refused, OSError) as problem:
        _complain(_text(problem, options))
        return 1
    if options.json:
        import json

        print(json.dumps(rows, indent=2))
    failed = [row for row in rows if row.get("error") or row.get("wrong")]
    if not options.json:
        for row in rows:
            _print(row, options.action)
    return 1 if failed else 0


def _options(argv: list[str]) -> Namespace:
    from argparse import ArgumentParser

    parser = ArgumentParser(
        prog="maildirindex",
        description="Build, check or drop the indexes of a maildir's folders, or tell what they hold.",
    )
    parser.add_argument(
        "action", choices=("build", "check", "drop", "stats"), metavar="build|check|drop|stats",
        help="remember what clients ask of every message; compare what is remembered with the messages; "
        "remove the index; tell what is in it",
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-f", dest="folder", metavar="FOLDER", help="the folder: Sent, Work.2026; INBOX without this")
    which.add_argument("--all", action="store_true", help="INBOX and all folders")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("maildir", metavar="MAILDIR", nargs="?", help="the maildir; ~/Maildir without this")
    options = parser.parse_intermixed_args(argv[1:])
    _check_options(parser, options)
    return options


def _check_options(parser: ArgumentParser, options: Namespace) -> None:
    if options.maildir is None:
        if os.geteuid() == 0:
            parser.error("whose? as root, name the maildir")
        options.maildir = os.path.expanduser("~/Maildir")


def _enter(maildir: str) -> None:
    """Make the maildir the working directory, and for root its owner this process's user, before looking into it."""
    descriptor = os.open(maildir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        os.fchdir(descriptor)
    finally:
        os.close(descriptor)
    if os.geteuid() == 0:
        try:
            privileges.become(found.st_uid, found.st_gid)
        except privileges.NotPermitted as error:
            raise Refused(f"{maildir}: {error}; let the mail belong to its account") from None
    if not os.path.isdir("cur"):
        raise Refused(f"{maildir}: not a maildir: it has no cur")


def _take_over_settings() -> None:
    """What the server's configuration says of indexes, unless the environment says something else."""
    wanted = {name for name in _SETTINGS if not environ.is_set(name)}
    try:
        for _, name, value in sysconf.assignments(f"{installed.SYSCONFDIR}/imapd", {"prefix": installed.PREFIX}):
            if name in wanted:
                environ.put(name, value)
    except FileNotFoundError:
        return
    except (OSError, sysconf.BadConfiguration) as error:
        _complain(f"{error}; as if IMAP_INDEX and IMAP_FTS were not set there")


def _folders(options: Namespace) -> list[bytes]:
    account = Account()
    if options.all:
        return list(account.folders())
    if options.folder is None or options.folder == "INBOX":
        return [INBOX]
    folder = b"." + os.fsencode(options.folder.removeprefix("INBOX."))
    if not account.exists(folder):
        raise Refused(f"{options.maildir}: no folder {options.folder}; write the name of its directory without the dot")
    return [folder]


def _shown(folder: bytes) -> str:
    return "INBOX" if folder == INBOX else os.fsdecode(folder[1:])


def _index_path(folder: bytes) -> bytes:
    try:
        return indexfile.path_of(Account().path(folder), make=True)
    except indexfile.Unusable as why:
        raise Refused(f"no index: {why} (IMAP_INDEX)") from None


def _text_path(folder: bytes) -> bytes:
    return indexfile.path_of(Account().path(folder), layout=indexfile.FULL_TEXT)


def _opened(path: bytes) -> Database | None:
    """The index that is there; raises indexcheck.Wrong."""
    from imapd.indexcheck import Database

    return Database(path) if os.path.lexists(path) else None


# The four actions, each for one folder


def _build(folder: bytes) -> Row:
    from imapd.indexbuild import build

    _index_path(folder)
    began = time.monotonic()
    with _Progress(f"{_shown(folder)}: building") as progress:
        built = build(Account().path(folder), progress)
    return {**vars(built), "seconds": round(time.monotonic() - began, 3)}


def _check(folder: bytes) -> Row:
    path, text_path = _index_path(folder), _text_path(folder)
    row: Row = {"index": None, "wrong": 0, "problems": [], "texts": None}
    setting = environ.text("IMAP_INDEX")
    environ.put("IMAP_INDEX", "off")  # what is compared with the index is read from the messages alone
    try:
        if os.path.lexists(path):
            row |= _check_index(folder, path)
        if os.path.lexists(text_path):
            compared, count, problems = _check_texts(folder, text_path)
            row["texts"] = compared
            row["wrong"] += count
            row["problems"] += [f"{os.fsdecode(os.path.basename(text_path))}: {problem}" for problem in problems]
    finally:
        environ.put("IMAP_INDEX", setting)
    return row


def _check_texts(folder: bytes, path: bytes) -> tuple[int, int, list[str]]:
    """How many messages were compared, how many problems there are, and the first of these."""
    from imapd.indexcheck import Wrong
    from imapd.textcheck import TextCheck, TextDatabase
    from maildir.folder import Folder

    try:
        database = TextDatabase(path)
    except Wrong as why:
        return 0, 1, [str(why)]
    check = TextCheck(database, Folder(Account().path(folder)))
    try:
        with _Progress(f"{_shown(folder)}: checking texts") as progress:
            check.run(progress)
    finally:
        database.close()
    return check.compared, check.count, check.problems


def _check_index(folder: bytes, path: bytes) -> Row:
    from imapd.indexcheck import Check, Database, Wrong
    from maildir.folder import Folder

    try:
        database = Database(path)
        try:
            check = Check(database, Folder(Account().path(folder)))
            with _Progress(f"{_shown(folder)}: checking") as progress:
                check.run(progress)
        finally:
            database.close()
    except Wrong as why:
        return {"index": os.fsdecode(path), "wrong": 1, "problems": [str(why)]}
    return {
        "index": os.fsdecode(path), "wrong": check.count, "problems": check.problems, "messages": check.messages,
        "values": check.values, "not_checked": [_name(kind) for kind in check.unknown],
    }  # fmt: skip


def _drop(folder: bytes) -> Row:
    paths = (_index_path(folder), _text_path(folder))
    there = [os.fsdecode(path) if os.path.lexists(path) else None for path in paths]
    octets = sum(map(indexfile.octets_of, paths))
    indexfile.drop(Account().path(folder))
    for path in paths:
        if os.path.lexists(path):
            return {"error": f"{os.fsdecode(path)} cannot be removed"}
    return {"index": there[0], "texts": there[1], "octets": octets}


def _stats(folder: bytes) -> Row:
    from imapd.indexcheck import Wrong

    path = _index_path(folder)
    try:
        database = _opened(path)
        if database is None:
            return {"index": None, "texts": _text_stats(folder)}
        kinds = [{"name": _name(kind.name), "values": kind.values, "octets": kind.octets} for kind in database.kinds()]
        row = {"index": os.fsdecode(path), "octets": database.octets(), "answers": database.answers(), "kinds": kinds}
        database.close()
        row["texts"] = _text_stats(folder)
    except Wrong as why:
        return {"index": os.fsdecode(path), "error": str(why)}
    return row


def _text_stats(folder: bytes) -> Row | None:
    """What the full-text index is; raises indexcheck.Wrong."""
    from imapd.textcheck import TextDatabase

    path = _text_path(folder)
    if not os.path.lexists(path):
        return None
    database = TextDatabase(path)
    count = len(database.documents())
    database.close()
    return {
        "index": os.fsdecode(path), "octets": indexfile.octets_of(path), "messages": count,
        "left_behind": database.given - count,
    }  # fmt: skip


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


# Telling


class _Progress:
    """A line on a terminal that says how far it is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def __enter__(self) -> Callable[[int, int], None]:
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _tell(self, done: int, count: int) -> None:
        now = time.monotonic()
        if self._shown and now >= self._next:
            self._next = now + _TOLD_SECONDS
            print(f"\r{self._what}: {done:,} of {count:,}", end="", file=sys.stderr, flush=True)


def _print(row: Row, action: str) -> None:
    if row.get("error"):
        _complain(f"{row['folder']}: {row['error']}")
    elif action == "build":
        looked = f"{row['messages']:,} messages, looked at {max(row['made'], row['texts']):,}"
        print(f"{row['folder']}: {looked}, {row['octets']:,} octets, {row['seconds']:.1f} s")
    elif row["index"] is None and row["texts"] is None and not row.get("wrong"):
        print(f"{row['folder']}: no index")
    elif action == "drop":
        print(f"{row['folder']}: dropped, {row['octets']:,} octets")
    elif action == "check":
        _print_check(row)
    else:
        _print_stats(row)


def _print_stats(row: Row) -> None:
    if row["index"] is not None:
        print(f"{row['folder']}: {row['octets']:,} octets in {row['index']}, {row['answers']} answers")
        for kind in row["kinds"]:
            print(f"  {kind['name']:<40} {kind['values']:>10,} values {kind['octets']:>14,} octets")
    texts = row["texts"]
    if texts is not None:
        of = f"texts of {texts['messages']:,} messages, and {texts['left_behind']:,} left behind"
        print(f"{row['folder']}: {texts['octets']:,} octets in {texts['index']}, {of}")


def _print_check(row: Row) -> None:
    if not row["wrong"]:
        found = []
        if row["index"] is not None:
            found.append(f"{row['values']:,} values of {row['messages']:,} messages")
        if row["texts"] is not None:
            found.append(f"texts of {row['texts']:,} messages")
        also = f"; not checked: {', '.join(row['not_checked'])}" if row.get("not_checked") else ""
        print(f"{row['folder']}: {', '.join(found)}, all right{also}")
        return
    for problem in row["problems"]:
        _complain(f"{row['folder']}: {problem}")
    wrong = "one value is" if row["wrong"] == 1 else f"{row['wrong']:,} values are"
    _complain(f"{row['folder']}: {wrong} wrong; maildirindex drop removes the index, and the server makes another")


def _complain(text: str) -> None:
    print(f"maildirindex: {text}", file=sys.stderr)


def _text(problem: Exception, options: Namespace) -> str:
    if not isinstance(problem, OSError):
        return str(problem)
    where = os.fsdecode(problem.filename) if problem.filename else options.maildir
    return f"{where}: {problem.strerror}"
