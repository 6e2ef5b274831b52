"""What a test does as somebody whom permissions stop: root does it as nobody, in a forked child."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = pwd.getpwnam("nobody")


def do(act: Callable[[], object]) -> None:
    """Do it without privileges; AssertionError with the whole story when it raises anything.

    What it imports, and the files that it needs, must be there for everybody.
    """
    if os.geteuid() != 0:
        act()
        return
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        _be_nobody(act, sink)
    os.close(sink)
    with open(source, "rb") as pipe:
        told = pipe.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, told


def _be_nobody(act: Callable[[], object], sink: int) -> None:
    """In the child; does not return."""
    status = 1
    try:
        os.setgroups([])
        os.setgid(NOBODY.pw_gid)
        os.setuid(NOBODY.pw_uid)
        act()
        status = 0
    except BaseException:
        os.write(sink, traceback.format_exc().encode())
    finally:
        os._exit(status)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that everybody may enter, which pytest's are not."""
    place = Path(tempfile.mkdtemp(prefix="courier-imap-tests."))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
