"""Which Python is chosen, and what is said when there is none."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import SOURCE

FIND = SOURCE / "libexec" / "build" / "find-python"
DEBIAN = Path("/usr/bin/python3")
GDBM = Path(f"/usr/lib/python3.{sys.version_info.minor}/lib-dynload")


def find(target: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(FIND), str(target)],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_answer_is_an_absolute_name_that_has_what_is_needed(tmp_path):
    done = find(tmp_path / "new" / "python")
    assert done.returncode == 0, done.stderr
    python = (tmp_path / "new" / "python").read_text().strip()
    assert os.path.isabs(python)
    check = "import sys, dbm.gnu, venv, ensurepip; assert sys.version_info >= (3, 11)"
    assert subprocess.run([python, "-IS", "-c", check], timeout=120).returncode == 0


def test_a_python_without_gdbm_on_the_path_is_passed_over(tmp_path):
    fake = tmp_path / "python3"
    fake.write_text("#!/bin/sh\necho python3-gdbm\n")  # what the examination would find
    fake.chmod(0o755)
    done = find(tmp_path / "python", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "python").read_text().strip() != str(fake)


def test_a_python_that_was_asked_for_and_does_not_fit_is_told(tmp_path):
    done = find(tmp_path / "python", PYTHON="/bin/false")
    assert done.returncode == 0
    assert done.stderr == "PYTHON=/bin/false does not fit (lacks: python3), looking further\n"


def test_the_same_answer_leaves_the_file_alone(tmp_path):
    find(tmp_path / "python")
    os.utime(tmp_path / "python", (1, 1))
    find(tmp_path / "python")
    assert (tmp_path / "python").stat().st_mtime == 1


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="hides files of the system in a namespace")
@pytest.mark.skipif(not list(GDBM.glob("_gdbm.*")) or shutil.which("apt-get") is None, reason="Debian's Python only")
def test_an_ordinary_user_is_told_the_missing_package():
    (library,) = GDBM.glob("_gdbm.*")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        shutil.copy(FIND, place)
        commands = f"""mount --bind /dev/null {library} || exit 77
            cd {place}
            exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i PATH=/usr/bin:/bin ./find-python python"""
        done = subprocess.run(["unshare", "-m", "sh", "-c", commands], capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 1
    assert "Missing Debian packages: python3-gdbm\n" in done.stderr
    assert "apt-get install python3-gdbm\n" in done.stderr
