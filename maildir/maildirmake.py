"""maildirmake: make a maildir, or a folder in one.  The manual page is maildirmake(1)."""

from __future__ import annotations

import errno
import os
import sys

from maildir import fs, names
from maildir.account import PARTS, Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_LATER = {
    "quota": "-q: quotas are not there yet; make the maildir without, the quota can be set later",
    "shared": "-S: shared maildirs are not there yet",
    "mode": "-s: shared folders are not there yet",
    "add": "--add: shared maildirs are not there yet",
    "remove": "--del: shared maildirs are not there yet",
}


def main(argv: list[str]) -> int:
    """Run the program; returns its exit status."""
    try:
        options = _options(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    for name, text in _LATER.items():
        if getattr(options, name):
            return _complain(text)
    target = os.fsencode(options.maildir)
    try:
        if options.utf8:
            return _convert(target, options)
        if options.folder is None:
            make_maildir(target)
        else:
            make_folder(target, os.fsencode(options.folder))
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename else options.maildir
        return _complain(f"{where}: {error.strerror}")
    return 0


def _options(argv: list[str]) -> Namespace:
    from argparse import SUPPRESS, ArgumentParser

    parser = ArgumentParser(prog="maildirmake", description="Make a maildir, or a folder in a maildir.")
    parser.add_argument("-f", dest="folder", metavar="FOLDER", help="make a folder in MAILDIR: Sent, Work.2026")
    parser.add_argument("-q", dest="quota", metavar="QUOTA", help="(not yet) make a maildir with a quota")
    parser.add_argument("-S", dest="shared", action="store_true", help="(not yet) make a maildir for shared folders")
    parser.add_argument("-s", dest="mode", metavar="MODE", help="(not yet) make a shared folder")
    parser.add_argument("--add", metavar="NAME=DIR", help="(not yet) offer the shared folders of another maildir")
    parser.add_argument("--del", dest="remove", metavar="NAME", help="(not yet) end that")
    parser.add_argument(
        "--checkutf8", dest="utf8", action="store_const", const="check", help="tell what --convutf8 would do"
    )
    parser.add_argument(
        "--convutf8", dest="utf8", action="store_const", const="convert",
        help="rename the folders of a maildir from before Courier-IMAP 5.0 to UTF-8",
    )  # fmt: skip
    parser.add_argument("maildir", metavar="MAILDIR", help="the maildir")
    parser.add_argument("mailfilter", metavar="MAILFILTER", nargs="?", help=SUPPRESS)
    options = parser.parse_args(argv[1:])
    if options.utf8 and options.folder is not None:
        parser.error("-f makes a folder; it does not go together with --checkutf8 and --convutf8")
    if options.mailfilter and options.utf8:
        parser.error("mail filters of SqWebMail are not converted: leave MAILFILTER away, and edit it by hand")
    if options.mailfilter:
        parser.error(f"unrecognized arguments: {options.mailfilter}")
    return options


def _convert(target: bytes, options: Namespace) -> int:
    from maildir import oldnames

    try:
        oldnames.convert(target.rstrip(b"/") or b"/", _tell, options.utf8 == "convert")
    except oldnames.NotConverted as problems:
        for line in problems.lines:
            print(f"Error: {line}", file=sys.stderr)
        print("maildirmake: nothing has been changed; rename these folders first", file=sys.stderr)
        return 1
    return 0


def _tell(line: str) -> None:
    """Print a line; folder names are UTF-8, whatever the locale is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


def _complain(text: str) -> int:
    print(f"maildirmake: {text}", file=sys.stderr)
    return 1


def make_maildir(path: bytes) -> None:
    """Make a maildir; FileExistsError when there is something already, other than a part of one."""
    try:
        fs.mkdir(path)
    except FileExistsError:
        if not fs.is_directory(path) or not {b"/" + name for name in fs.listdir(path)} < set(PARTS):
            raise
    for part in PARTS:
        if not fs.is_directory(path + part):
            fs.mkdir(path + part)
    fs.sync_directory(path)
    fs.sync_directory(os.path.dirname(path.rstrip(b"/")) or b".")


def make_folder(root: bytes, folder: bytes) -> None:
    """Make a folder in a maildir, as the server's CREATE does; folder is its name without the first dot."""
    if not all(fs.is_directory(root + part) for part in PARTS):
        raise FileNotFoundError(errno.ENOENT, "not a maildir; make it first, with maildirmake MAILDIR", root)
    if not folder or not names.is_folder(b"." + folder):
        raise OSError(errno.EINVAL, "not a folder name; the parts between its dots are not empty and hold no /", folder)
    Account(root).create(b"." + folder)
