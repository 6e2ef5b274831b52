"""checkconfig: says what in a configuration file will not do what the administrator expects.

The rc scripts run it before they start anything.  Settings that nothing reads (misspelt, historic, or of a feature that
is still to come) are warned about and do no harm.  Only a file that /bin/sh cannot read keeps the server from starting.
"""

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

from couriertcpd.sysconf import BadConfiguration, entries

_WEBADMIN = "only the web administration of the original used it; remove the line"
_FIXED_BY_TLS = "is no longer part of TLS; remove the line"

# Settings that Courier-IMAP had once, and what an administrator who still has them should do.
HISTORIC = {
    "IMAP_ENHANCEDIDLE": "changes are told at once without it since Courier-IMAP 5.1; remove the line",
    "AUTHMODULES": "authmodulelist in authdaemonrc chooses the authentication modules; remove the line",
    "AUTHMODULES_ORIG": _WEBADMIN,
    "IMAP_CAPABILITY_ORIG": _WEBADMIN,
    "IMAP_CAPABILITY_TLS_ORIG": _WEBADMIN,
    "POP3AUTH_ORIG": _WEBADMIN,
    "POP3AUTH_TLS_ORIG": _WEBADMIN,
    "authmodulelistorig": _WEBADMIN,
    "version": "there is one authdaemond for all modules; remove the line",
    "TLS_DHCERTFILE": "TLS_DHPARAMS names the file of Diffie-Hellman parameters now",
    "TLS_CACHEFILE": "sessions are taken up again by tickets, without a file; remove the line",
    "TLS_CACHESIZE": "sessions are taken up again by tickets, without a file; remove the line",
    "TLS_PRIORITY": "it was for GnuTLS; TLS_PROTOCOL and TLS_CIPHER_LIST say what is allowed",
    "TLS_MIN_DH_BITS": "it was for GnuTLS; remove the line",
    "TLS_COMPRESSION": _FIXED_BY_TLS,
    "TLS_KX_LIST": _FIXED_BY_TLS,
    "TLS_CERTS": "TLS_CERTFILE and TLS_TRUSTCERTS replace it",
    "TLS_PEERCERTDIR": "TLS_TRUSTCERTS replaces it",
    "TLS_OURCACERT": "TLS_TRUSTCERTS replaces it",
    "TLS_ALLOWSELFSIGNEDCERT": "TLS_VERIFYPEER replaces it",
}

# Settings of Courier-IMAP whose features this version does not have yet.
LATER = frozenset(
    """
    SMAP_CAPABILITY IMAP_ACL IMAP_PROXY PROXY_HOSTNAME IMAP_PROXY_FOREIGN POP3_PROXY
    IMAP_SHAREDINDEXFILE IMAPDEBUGFILE OUTBOX SENDMAIL HEADERFROM OUTBOX_MULTIPLE_SEND
    IMAP_BROKENUIDV
    IMAP_SHAREDMUNGENAMES MAILDIRQUOTA LDAPTLS_CACERT LDAPTLS_REQCERT LDAPTLS_CERT LDAPTLS_KEY
    """.split()
)

# In no *.dist file, but they do have an effect: told of in man pages only, or meaning something to every program.
EFFECTIVE = frozenset({"HOSTNAME", "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"})

# What a value must look like, for settings of ours with which a slip would not be noticed for long.
_VALUES = {
    "IMAP_INDEX": (re.compile(r"on|off|yes|no|0|1|/.*|", re.IGNORECASE), "on, off or the full path of a directory"),
    "IMAP_FTS": (re.compile(r"0|1|", re.IGNORECASE), "0 or 1"),
}

_SHIPPED_SETTING = re.compile(r"^(?:# ?)?([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


def shipped_settings(folder: str) -> set[str]:
    """The names that the *.dist files in the folder set, or show as a comment `# NAME=value`."""
    names = set()
    for file in sorted(os.listdir(folder)):
        if file.endswith(".dist"):
            names |= set(_SHIPPED_SETTING.findall(_text(os.path.join(folder, file))))
    return names


def complaints(path: str, shipped: set[str]) -> Iterator[str]:
    """One line for each thing that is wrong with the file.  With no shipped settings, unknown ones are not told."""
    known = shipped | EFFECTIVE
    for_others = set(_REFERENCE.findall(_text(path)))  # a name of the administrator's own, for use in other values
    later = []
    for entry in entries(path):
        if isinstance(entry, BadConfiguration):
            yield str(entry)
            continue
        line, name, value = entry
        if value.endswith("\r"):
            yield f"{path}:{line}: {name} ends in a carriage return: save the file with Unix line ends"
        if name in _VALUES and "$" not in value and not _VALUES[name][0].fullmatch(value):
            yield f"{path}:{line}: {name}={value}: must be {_VALUES[name][1]}"
        if name in known or (name.startswith("AUTHSERVICE") and name.removeprefix("AUTHSERVICE").isdigit()):
            continue
        if name in HISTORIC:
            yield f"{path}:{line}: {name} has no effect: {HISTORIC[name]}"
        elif name in LATER:
            later.append(f"{name} (line {line})")
        elif shipped and name not in for_others:
            yield f"{path}:{line}: {name} is not a setting: {_remedy(name, shipped)}"
    if later:
        yield f"{path}: settings that this version does not use yet: {', '.join(later)}; they can stay"


def _remedy(name: str, shipped: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(shipped), n=1)
    return f"was {near[0]} meant?" if near else "remove the line"


def shell_refuses(path: str) -> str:
    """What /bin/sh has to say against the file's syntax; empty when it can read it."""
    done = subprocess.run(["/bin/sh", "-n", path], capture_output=True, text=True, errors="replace", timeout=30)
    if done.returncode == 0:
        return ""
    words = done.stderr.strip().splitlines()
    return words[-1] if words else "syntax error"


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def check(path: str) -> int:
    """Check one file, with complaints on standard error; 1 when the shell could not read it."""
    try:
        for complaint in complaints(path, shipped_settings(os.path.dirname(path) or ".")):
            print(f"WARN: {complaint}", file=sys.stderr)
        refusal = shell_refuses(path)
    except BadConfiguration as error:
        refusal = str(error)
    except (OSError, subprocess.TimeoutExpired) as error:
        refusal = str(error)
    if refusal:
        print(f"ERR: {path}: /bin/sh cannot read it: {refusal}; mend that line", file=sys.stderr)
    return 1 if refusal else 0


def main(argv: list[str]) -> int:
    """Run the program: the exit status is 1 when one of the files cannot be used."""
    if len(argv) < 2 or argv[1].startswith("-"):
        print(f"Usage: {argv[0]} FILE ...", file=sys.stderr)
        return 1
    return max(check(path) for path in argv[1:])
