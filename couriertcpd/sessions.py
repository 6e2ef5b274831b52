"""The sessions of running couriertcpds, for those who look after the host: found by their status sockets, and ended.

A process belongs to a session when it holds the slot's pipe, which nobody can do who was not given it.  What the stages
have told of themselves is shown, but a process is never signalled because of it alone.  Linux only: /proc.
"""

import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from couriertcpd import installed, stage, sysconf

ASK_SECONDS = 10
END_SECONDS = 10  # a session finishes the change that it is at before it ends
MAX_DOCUMENT = 1 << 26

# Which file of the configuration names the pid file of which server, and what it is called there.
_SERVERS = (("imapd", "PIDFILE"), ("imapd-ssl", "SSLPIDFILE"), ("pop3d", "PIDFILE"), ("pop3d-ssl", "SSLPIDFILE"))


class Unreachable(Exception):
    """A server's status cannot be asked for; the text says why, and what to do where something can be done."""


class NotRunning(Unreachable):
    """Nobody answers at the socket."""


class Session:
    """One connection: the server's record of it (see status.document), its processes, and the one that serves it."""

    def __init__(self, record: dict[str, Any], processes: list[int]) -> None:
        self.told: dict[str, Any] = record["told"] or {}
        self.slot: int = record["slot"]
        self.ip: str | None = record["ip"]
        self.since: float = record["since"]
        self.processes = processes
        self.pid = self._server(record["first"])

    @property
    def user(self) -> str:
        """Who is logged in; empty when nobody is, or the program does not tell."""
        return str(self.told.get("user", ""))

    def _server(self, first: int | None) -> int | None:
        """The process that speaks with the client: the one that says so or was started first, if it is one of ours."""
        for candidate in (self.told.get("pid"), first):
            if candidate in self.processes:
                return candidate
        return max(self.processes, default=None)


class Server:
    """A running couriertcpd: its name, its status document, its sessions, the oldest first, and its fork servers."""

    def __init__(self, name: str, path: str) -> None:
        """Ask at the socket; raises Unreachable."""
        self.name = name
        self.document = _asked(path)
        processes = _holders(self.document["pid"])
        self.sessions = [Session(record, processes.get(record["slot"], [])) for record in self.document["slots"]]
        self.stages = _stages(self.document["pid"], {pid for session in self.sessions for pid in session.processes})


def sockets(sysconfdir: str = installed.SYSCONFDIR) -> Iterator[tuple[str, str]]:
    """The name and the status socket of every server that is configured, running or not."""
    known = {
        "prefix": installed.PREFIX, "exec_prefix": installed.PREFIX, "bindir": installed.BINDIR,
        "sbindir": installed.SBINDIR, "libexecdir": installed.LIBEXECDIR, "sysconfdir": installed.SYSCONFDIR,
    }  # fmt: skip
    for name, setting in _SERVERS:
        pidfile = os.path.join(installed.PIDDIR, f"{name}.pid")
        try:
            for entry in sysconf.entries(os.path.join(sysconfdir, name), known):
                if isinstance(entry, tuple) and entry[1] == setting:
                    pidfile = entry[2] or pidfile
        except FileNotFoundError:
            continue
        except (OSError, sysconf.BadConfiguration) as error:
            raise Unreachable(f"{error}; give --socket PATH") from error
        yield name, pidfile + ".status"


def end(session: Session) -> str:
    """Have the session ended by SIGTERM, so that its client gets a BYE; the text says what came of it, "" if it ended.

    The process is held by a descriptor while it is looked at, so that no other one with its number can be meant.
    """
    if session.pid is None:
        return "no process of it is to be seen; root sees all of them"
    try:
        descriptor = os.pidfd_open(session.pid)
    except ProcessLookupError:
        return ""
    try:
        if session.slot not in _pipes(session.pid):
            return ""  # it has just ended
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], END_SECONDS)[0]:
            return f"process {session.pid} got SIGTERM, and has not ended within {END_SECONDS} seconds"
    except ProcessLookupError:
        return ""
    except PermissionError:
        return f"process {session.pid}: not permitted; try it as root"
    finally:
        os.close(descriptor)
    return ""


class Stage:
    """A fork server: the program that it stands for, and how many of its children wait for a client or serve one."""

    def __init__(self, pid: int, command: list[str]) -> None:
        words = (word for word in command[1:] if not word.startswith("-"))  # the first is the interpreter
        self.program = os.path.basename(next(words, "?"))
        self.pid = pid
        self.waiting = self.serving = 0


def _stages(listener: int, busy: set[int]) -> list[Stage]:
    """The fork servers below a listener, busy being the processes of sessions; none where we may not look."""
    import psutil

    found: dict[int, Stage] = {}
    try:
        family = psutil.Process(listener).children(recursive=True)
    except psutil.Error:
        return []
    commands = {}
    for process in family:  # parents come before their children
        with suppress(psutil.Error):
            commands[process.pid] = process.cmdline()
            if process.pid in busy or stage.FORKSERVER not in process.environ():
                continue
            if commands.get(process.ppid()) != commands[process.pid]:  # exec'ed, not forked to serve
                found[process.pid] = Stage(process.pid, commands[process.pid])
    for process in family:
        with suppress(psutil.Error):
            parent = found.get(process.ppid())
            if parent is not None and process.pid not in found:
                parent.serving += process.pid in busy
                parent.waiting += process.pid not in busy
    return list(found.values())


def _asked(path: str) -> dict[str, Any]:
    octets = bytearray()
    deadline = time.monotonic() + ASK_SECONDS
    try:
        with socket.socket(socket.AF_UNIX) as client:
            # Blocking, with a send timeout, it waits while others ask too; with a timeout of Python's it would not.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", ASK_SECONDS, 0))
            client.connect(path)
            client.settimeout(ASK_SECONDS)
            while data := client.recv(1 << 16):
                octets += data
                if len(octets) > MAX_DOCUMENT or time.monotonic() > deadline:
                    raise Unreachable(f"{path}: the answer does not end")
        document = json.loads(octets)
        if not isinstance(document, dict) or not {"pid", "slots"} <= set(document):
            raise ValueError
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunning(f"not running (nobody answers at {path})") from None
    except PermissionError:
        raise Unreachable(f"{path}: permission denied; try it as root, or as whoever started the server") from None
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise Unreachable(f"{path}: what answers there is not couriertcpd") from None
    return document


def _holders(listener: int) -> dict[int, list[int]]:
    """The processes that hold a pipe, by its inode; without the listener, which has the other ends of the slots."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != listener:
            for inode in set(_pipes(int(name))):
                found.setdefault(inode, []).append(int(name))
    return found


def _pipes(pid: int) -> Iterable[int]:
    """The inodes of the pipes that a process has open; none when it is gone or not ours to look at."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")
        except OSError:
            continue  # closed meanwhile
        if target.startswith("pipe:["):
            yield int(target[len("pipe:[") : -1])
