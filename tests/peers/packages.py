"""Debian's packages of the original and of Dovecot, unpacked into build/peers and never installed.

courier-imap and dovecot-imapd remove each other when they are installed, and neither belongs on a developer's machine.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "peers"
PACKAGES = {
    "courier": (
        "courier-imap", "courier-base", "courier-pop", "courier-authlib", "courier-authlib-userdb",
        "courier-authdaemon", "gamin",
    ),
    "dovecot": ("dovecot-core", "dovecot-imapd", "dovecot-pop3d"),
}  # fmt: skip
_SECONDS = 300


class Missing(Exception):
    """The packages cannot be had here; the text says why."""


def _run(*argv: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Missing(f"{argv[0]}: {problem}") from problem
    if done.returncode:
        raise Missing(f"{' '.join(argv[:4])}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def _is_installed(package: str) -> bool:
    done = subprocess.run(["dpkg-query", "-W", "-f${Status}", package], capture_output=True, text=True, check=False)
    return done.stdout.endswith("installed") and "not-installed" not in done.stdout


def _with_libraries(packages: tuple[str, ...]) -> list[str]:
    """The packages and the libraries below them that this machine lacks."""
    wanted = list(packages)
    for package in wanted:
        depends = _run("apt-cache", "depends", "--important", package)
        for name in re.findall(r"^ +\|?Depends: ([a-z0-9.+-]+)", depends, re.MULTILINE):
            if name.startswith("lib") and name not in wanted and not _is_installed(name):
                wanted.append(name)
    return wanted


def unpacked(name: str) -> Path:
    """The folder that holds `usr` and `etc` of the packages of `name`; fetched once.

    Raises Missing: no network, not Debian, no such package.
    """
    root = BUILD / name
    if _is_complete(name):
        return root
    try:
        BUILD.mkdir(parents=True, exist_ok=True)
        lock = (BUILD / f"{name}.lock").open("w")
    except OSError as problem:
        raise Missing(f"nowhere to unpack packages: {problem}") from problem
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for as long as one download takes
        if _is_complete(name):
            return root
        shutil.rmtree(root, ignore_errors=True)
        (root / "debs").mkdir(parents=True)
        try:
            _run("apt-get", "download", "-q", *_with_libraries(PACKAGES[name]), cwd=root / "debs")
        except Missing:
            _run("apt-get", "update", "-q")
            _run("apt-get", "download", "-q", *_with_libraries(PACKAGES[name]), cwd=root / "debs")
        for package in sorted((root / "debs").iterdir()):
            _run("dpkg", "-x", str(package), str(root))
        if (root / "lib").is_dir():  # /lib is /usr/lib wherever these packages run
            shutil.copytree(root / "lib", root / "usr/lib", symlinks=True, dirs_exist_ok=True)
        (root / "complete").write_text(" ".join(PACKAGES[name]), "utf-8")
    return root


def _is_complete(name: str) -> bool:
    """Whether just these packages are there."""
    try:
        return (BUILD / name / "complete").read_text("utf-8") == " ".join(PACKAGES[name])
    except FileNotFoundError:
        return False
