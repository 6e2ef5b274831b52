import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
sys.path.insert(0, {source!r})
from maildir import heap
def private():
    return sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private"))
heap.give_back()
before = private()
heap.expect_much()
much = [b"x" * 100_000 for _ in range(400)]
kept = b"y" * 1000
held = private() - before
del much
heap.give_back()
print(held, private() - before)
"""

AGAIN = """
import resource, sys
sys.path.insert(0, {source!r})
from maildir import heap
def faults():
    used = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        pieces = [b"x" * 60_000 for _ in range(30)], b"y" * 400_000
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - used
heap.expect_some()
faults()
again = faults()
heap.rest()
print(again, faults())
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell")
def test_what_was_needed_for_a_moment_is_given_back() -> None:
    code = CODE.format(source=str(Path(__file__).resolve().parents[3]))
    done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    held, kept = map(int, done.stdout.split())
    assert held > 30_000
    assert kept < 3_000


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell")
def test_what_is_expected_to_be_needed_again_is_kept_until_there_is_rest() -> None:
    code = AGAIN.format(source=str(Path(__file__).resolve().parents[3]))
    done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept, given_back = map(int, done.stdout.split())
    assert kept < 1000 < given_back
