"""mkdhparams(8): make new Diffie-Hellman parameters, once a month."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time

from couriertcpd import environ, installed, opensslprogram

FAILED = 1
FRESH_SECONDS = 25 * 86400
DEFAULT_BITS = 2048
FEWEST_BITS, MOST_BITS = 512, 16384


def main(argv: list[str]) -> int:
    """Run the program: does nothing when the parameters are fresh."""
    if len(argv) > 1:
        print(f"Usage: {argv[0]}  (DH_BITS and TLS_DHPARAMS in the environment say how long, and where)",
              file=sys.stderr)  # fmt: skip
        return FAILED
    target = environ.text("TLS_DHPARAMS") or f"{installed.DATADIR}/dhparams.pem"
    bits = environ.text("DH_BITS") or str(DEFAULT_BITS)
    if not bits.isascii() or not bits.isdigit() or not FEWEST_BITS <= int(bits[:9]) <= MOST_BITS:
        print(f"DH_BITS={bits}: give a number of bits, {FEWEST_BITS} to {MOST_BITS}; usual is {DEFAULT_BITS}",
              file=sys.stderr)  # fmt: skip
        return FAILED
    try:
        if not _is_fresh(target):
            _make(target, bits)
    except opensslprogram.Failed as problem:
        print(f"{target} stays as it was: {problem}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{target} stays as it was: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    return 0


def _is_fresh(target: str) -> bool:
    try:
        return time.time() - os.stat(target).st_mtime <= FRESH_SECONDS
    except FileNotFoundError:
        return False


def _make(target: str, bits: str) -> None:
    folder, name = os.path.split(target)
    descriptor, new = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    os.close(descriptor)
    try:
        opensslprogram.run("dhparam", "-outform", "PEM", "-out", new, bits)
        os.chmod(new, 0o644)  # parameters are no secret: every client is told
        opensslprogram.sync(new)
        os.rename(new, target)
        opensslprogram.sync(folder or ".")
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
