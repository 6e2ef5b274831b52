"""Who may import whom: the contracts of setup.cfg."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


def test_imports_go_down_only():
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(program), "--config", "setup.cfg", "--no-cache"], cwd=SOURCE, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
