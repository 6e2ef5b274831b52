"""Giving up privileges: what the kernel says afterwards, in a child that does it."""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from couriertcpd import privileges

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def in_child(run: Callable[[], object]) -> object:
    """What run() gives, as JSON says it, in a child; the name of what it raises."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            try:
                result = run()
            except privileges.NotPermitted as error:
                result = f"NotPermitted: {error}"
            os.write(write_end, json.dumps(result).encode())
        except BaseException:
            os.write(write_end, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as told:
        result = json.loads(told.read())
    os.waitpid(child, 0)
    return result


def status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


@pytest.mark.root
@as_root
def test_nothing_is_left_of_root() -> None:
    def renounce() -> dict[str, str]:
        privileges.renounce(NOBODY.pw_uid, NOBODY.pw_gid, [NOBODY.pw_gid, 12345])
        return status()

    now = in_child(renounce)
    assert isinstance(now, dict)
    assert now["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert now["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    assert set(now["Groups"].split()) == {str(NOBODY.pw_gid), "12345"}
    assert {int(now[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert now["NoNewPrivs"] == "1"


@pytest.mark.root
@as_root
def test_no_program_brings_anything_back() -> None:
    """A set-user-id program of root's, run by one who has renounced; `id` tells who it is."""
    program = Path(tempfile.mkdtemp(prefix="courier-imap-setuid.")) / "id"
    program.parent.chmod(0o755)
    shutil.copy(shutil.which("id") or "/usr/bin/id", program)
    program.chmod(0o4755)

    def run() -> str:
        privileges.renounce(NOBODY.pw_uid, NOBODY.pw_gid, [])
        return subprocess.run([program, "-u"], capture_output=True, text=True, timeout=120).stdout

    try:
        assert in_child(run) == f"{NOBODY.pw_uid}\n"
    finally:
        shutil.rmtree(program.parent)


@pytest.mark.root
@as_root
def test_root_is_no_one_to_become() -> None:
    assert in_child(lambda: privileges.renounce(0, 0, [])) == "NotPermitted: uid 0: that would renounce nothing"


@pytest.mark.root
@as_root
def test_what_the_kernel_does_not_confirm_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_PR_SET_NO_NEW_PRIVS", 9999)  # an option that no kernel knows
    result = in_child(lambda: privileges.renounce(NOBODY.pw_uid, NOBODY.pw_gid, []))
    assert result == "NotPermitted: no_new_privs did not take effect"


def test_without_root_one_stays_who_one_is_and_gains_nothing() -> None:
    def renounce() -> list[object]:
        if os.geteuid() == 0:
            os.setresgid(NOBODY.pw_gid, NOBODY.pw_gid, NOBODY.pw_gid)
            os.setresuid(NOBODY.pw_uid, NOBODY.pw_uid, NOBODY.pw_uid)
        before = status()
        privileges.renounce(1, 1, [])
        return [before["Uid"] == status()["Uid"], before["Gid"] == status()["Gid"], status()["NoNewPrivs"]]

    assert in_child(renounce) == [True, True, "1"]
