"""makeimapaccess(8): build the database of the IMAP access file and have the running servers read it.

Which file it is, and which servers, stands in the configuration files imapd and imapd-ssl.
"""

from __future__ import annotations

import os
import subprocess
import sys

from couriertcpd import filelock, gdbmfile, installed, makedat, sysconf

_SIGNAL_SECONDS = 30


def settings() -> dict[str, str]:
    """The settings of imapd and then imapd-ssl; the latter may be absent.  Raises OSError.

    A line that is not understood is said and passed over: this tool needs three settings only.
    """
    found: dict[str, str] = {}
    for name, needed in (("imapd", True), ("imapd-ssl", False)):
        path = f"{installed.SYSCONFDIR}/{name}"
        if needed or os.path.exists(path):
            for entry in sysconf.entries(path, dict(found)):
                if isinstance(entry, sysconf.BadConfiguration):
                    print(entry, file=sys.stderr)
                else:
                    found[entry[1]] = entry[2]
    return found


def main(argv: list[str]) -> int:
    """Run makeimapaccess."""
    if len(argv) > 1:
        print(f"Usage: {argv[0]}  (the access file is IMAPACCESSFILE of {installed.SYSCONFDIR}/imapd)", file=sys.stderr)
        return 1
    try:
        configured = settings()
        source = configured.get("IMAPACCESSFILE", "")
        if not source:
            print(f"ERROR: No IMAPACCESSFILE specified in {installed.SYSCONFDIR}/imapd", file=sys.stderr)
            return 1
        os.umask(0o022)  # couriertcpd may read the database after giving up root
        makedat.build(makedat.entries(source, cidr=True), f"{source}.tmp", f"{source}.dat")
    except (makedat.BadSource, gdbmfile.CannotBuild, filelock.Busy) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'settings'}: {error.strerror}", file=sys.stderr)
        return 1
    pidfiles = [configured[name] for name in ("PIDFILE", "SSLPIDFILE") if configured.get(name)]
    return max([_restart(pidfile) for pidfile in pidfiles], default=0)


def _restart(pidfile: str) -> int:
    """Have a running couriertcpd open its database again; one that does not run is no fault."""
    couriertcpd = f"{installed.LIBEXECDIR}/couriertcpd"
    try:
        return subprocess.run([couriertcpd, f"-pid={pidfile}", "-restart"], timeout=_SIGNAL_SECONDS).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"The database is built, but {couriertcpd} -pid={pidfile} -restart failed: {error}", file=sys.stderr)
        return 1
