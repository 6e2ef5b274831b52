"""mkimapdcert(8), mkpop3dcert(8): make a certificate that the server has signed itself, for a beginning.

By its name the program knows for which server.  One that is there is never overwritten: it may have been paid for.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile

from couriertcpd import installed, opensslprogram

EXISTS = FAILED = 1
DAYS = 365
SERVERS = {"mkimapdcert": "imapd", "mkpop3dcert": "pop3d"}

_REQUEST = re.compile(r"^\s*\[\s*req\s*\]", re.MULTILINE)


def main(argv: list[str]) -> int:
    """Run the program."""
    server = SERVERS.get(os.path.basename(argv[0]))
    if server is None or len(argv) > 1:
        print(f"Usage: {' | '.join(SERVERS)}  (what goes into the certificate: "
              f"{installed.SYSCONFDIR}/imapd.cnf, pop3d.cnf)", file=sys.stderr)  # fmt: skip
        return FAILED
    target, configuration = f"{installed.DATADIR}/{server}.pem", f"{installed.SYSCONFDIR}/{server}.cnf"
    try:
        if os.path.lexists(target):
            raise FileExistsError
        _check(configuration)
        _make(target, configuration)
        print(opensslprogram.run("x509", "-in", target, "-noout", "-subject", "-dates", "-fingerprint"), end="")
    except FileExistsError:
        print(f"{target} already exists.")
        print(f"It stays as it is. For a new one move it away first:  mv {target} {target}.old", file=sys.stderr)
        return EXISTS
    except opensslprogram.Failed as problem:
        print(f"{target} is not made: {problem}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"{target} is not made: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    return 0


def _check(configuration: str) -> None:
    with open(configuration, encoding="utf-8", errors="replace") as file:
        if not _REQUEST.search(file.read()):
            raise opensslprogram.Failed(
                f"{configuration} has no section [ req ]: if it is a template for GnuTLS's certtool, move it away, run"
                " make install again, and put its values into the new file (openssl-req(1))"
            )


def _make(target: str, configuration: str) -> None:
    """Make key and certificate in a directory that only we can enter, and put them in place as one file at once."""
    os.umask(0o077)
    folder, name = os.path.split(target)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    seed = target.removesuffix("pem") + "rand"  # the original's templates have openssl keep its random state there
    had_seed = os.path.lexists(seed)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as private:
            key, certificate, both = (os.path.join(private, part) for part in ("key", "certificate", "both"))
            opensslprogram.run(
                "req", "-new", "-x509", "-days", str(DAYS), "-nodes", "-config", configuration, "-keyout", key,
                "-out", certificate,
            )  # fmt: skip
            with open(both, "wb") as file:
                for part in (key, certificate):
                    with open(part, "rb") as source:
                        file.write(source.read())
            opensslprogram.sync(both)
            os.link(both, target)  # which fails where somebody else has made one meanwhile
            opensslprogram.sync(folder)
    finally:
        if not had_seed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(seed)
