"""openssl(1), which makes keys, certificates and parameters for the tools; the servers themselves never run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAM = "openssl"
SECONDS = 6 * 3600.0  # long parameters on a slow machine; an end all the same


class Failed(Exception):
    """It is not there, or did not do it; the text is for people."""


def run(*arguments: str) -> str:
    """Run it to its end; what it printed.  Its progress goes to a terminal, if there is one.  Raises Failed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise Failed(f"{PROGRAM} is not installed; install it (on Debian: apt-get install openssl)")
    progress = None if os.isatty(2) else subprocess.PIPE
    try:
        done = subprocess.run(
            [path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=progress, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{path}: {error}") from None
    if done.returncode != 0:
        sys.stderr.write((done.stderr or b"").decode(errors="replace"))
        raise Failed(f"{PROGRAM} {arguments[0]} failed with exit status {done.returncode}")
    return done.stdout.decode(errors="replace")


def sync(path: str) -> None:
    """Put a file, or what a directory says, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
