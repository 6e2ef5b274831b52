"""The original's maildirkw and ours, each on a folder of its own: the same calls leave the same files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from maildir.keywords import Keywords
from tests.peers.programs import Courier, Missing, Place

SOURCE = Path(__file__).resolve().parents[2]
CODE = "import sys; sys.path.insert(0, sys.argv.pop(1)); from maildir.maildirkw import main; sys.exit(main(sys.argv))"
FILES = ("cur/1.a.h:2,S", "cur/2.b.h,S=3:2,", "new/3.c.h")

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def theirs() -> Iterator[Courier]:
    place = Place([])
    try:
        yield Courier(place)
    except Missing as reason:
        pytest.skip(str(reason))
    finally:
        place.remove()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("theirs", "ours"):
        for part in ("cur", "new", "tmp"):
            (tmp_path / name / part).mkdir(parents=True)
        for file in FILES:
            (tmp_path / name / file).write_text("Subject: x\n\ny\n")
    return tmp_path / "theirs", tmp_path / "ours"


def run_ours(*words: str) -> subprocess.CompletedProcess[bytes]:
    argv = [str(SOURCE / ".venv/bin/python"), "-ISc", CODE, str(SOURCE), *words]
    return subprocess.run(argv, capture_output=True, timeout=60, check=False)


def stored(folder: Path, message: str) -> tuple[object, bytes]:
    """What the files say of each message, and the update of the last one that was changed.

    When waiting updates go into the list differs: the original overwrites one that waits where ours takes it in first.
    """
    bases = [b"1.a.h", b"2.b.h,S=3", b"3.c.h"]
    update = (folder / "courierimapkeywords" / message.partition(":")[0]).read_bytes()
    return Keywords(os.fsencode(folder)).read(bases, write=False), update


CALLS = (
    ("DIR", "1.a.h", "foo", "Bar"),
    ("DIR", "2.b.h,S=3:2,", "foo", "zap"),
    ("-a", "DIR", "1.a.h:2,S", "more"),
    ("-r", "DIR", "1.a.h", "bar"),
    ("-l", "DIR", "3.c.h", "new"),
    ("DIR", "1.a.h"),
    ("-a", "DIR", "2.b.h,S=3", "b(d"),
)


def test_the_same_files(theirs: Courier, folders: tuple[Path, Path]) -> None:
    for call in CALLS:
        for folder, run in zip(folders, (lambda *words: theirs.cell.run(["maildirkw", *words]), run_ours), strict=True):
            done = run(*[str(folder) if word == "DIR" else word for word in call])
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), call
        message = call[call.index("DIR") + 1]
        assert stored(folders[1], message) == stored(folders[0], message), call


def test_each_lists_what_the_other_wrote(theirs: Courier, folders: tuple[Path, Path]) -> None:
    folder = str(folders[0])
    for number, (name, *words) in enumerate((("1.a.h", "x", "y"), ("2.b.h,S=3", "Y"), ("3.c.h", "z"))):
        argv = [folder, os.path.basename(name), *words]
        done = theirs.cell.run(["maildirkw", *argv]) if number % 2 else run_ours(*argv)
        assert done.returncode == 0
    said = run_ours("-L", folder).stdout.splitlines()
    assert said == sorted(theirs.cell.run(["maildirkw", "-L", folder]).stdout.splitlines())
    assert said == [b"1.a.h x y", b"2.b.h,S=3 y", b"3.c.h z"]
    assert run_ours("-L", folder).stdout.splitlines() == said
