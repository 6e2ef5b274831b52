"""What a stage must not import before it is asked to do something: it would be paid for on every connection."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]

TOO_DEAR = {
    "OpenSSL", "argparse", "asyncio", "dataclasses", "email", "hashlib", "json", "logging", "passlib", "psutil",
    "shutil", "sqlite3", "ssl", "subprocess", "tempfile", "typing", "watchdog",
}  # fmt: skip


@pytest.mark.parametrize("module", ["imaplogin.imaplogin", "imaplogin.pop3login", "imapd.main", "pop3d.main"])
def test_a_stage_imports_little(module):
    code = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); import {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert module in imported
    assert sorted(imported & TOO_DEAR) == []
