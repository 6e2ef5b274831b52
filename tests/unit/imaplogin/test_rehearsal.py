"""The rehearsals of the stages: they run what a client will make run, and leave no trace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]

CODE = """
import os, sys
sys.path.insert(0, {source!r})
import {module} as module
for name in module.PRELOAD:
    __import__(name)

def state():
    links = {{name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if name < "3"}}
    return links, len(os.listdir("/proc/self/fd")), dict(os.environ), os.getcwd()

called = set()
sys.setprofile(lambda frame, event, what: called.add(frame.f_code.co_qualname) if event == "call" else None)
before = state()
{call}
sys.setprofile(None)
assert state() == before
missing = {{{reached}}} - called
assert not missing, missing
print("whole")
"""


@pytest.mark.parametrize(
    ("module", "call", "reached"),
    [
        (
            "imaplogin.imaplogin",
            "from imaplogin import rehearsal; rehearsal.rehearse(b'OK ready')",
            "'Channel.flush', 'Arguments.astring', 'Authenticate.encode', 'parse_account', 'encode', 'decode', 'line'",
        ),
        (
            "imaplogin.pop3login",
            "from imaplogin import rehearsal; rehearsal.rehearse_pop3()",
            "'Channel.flush', 'Lines.next_line', 'split', 'encode_login', 'parse_account', 'encode', 'decode'",
        ),
        (
            "pop3d.main",
            "module.rehearse()",
            "'Driver.serve', 'execute', 'sign', '_good', 'usual', '_stat', '_uidl', '_quit', 'Dialogue.flush'",
        ),
        (
            "imapd.main",
            "module.rehearse()",
            "'Driver.serve', 'execute', 'logout', 'sign', '_good', 'Dialogue.flush'",
        ),
    ],
)
def test_it_runs_what_a_client_will_need(tmp_path: Path, module: str, call: str, reached: str) -> None:
    code = CODE.format(source=os.fspath(SOURCE), module=module, call=call, reached=reached)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
    assert not list(tmp_path.iterdir())
