"""Our own chain from a fresh installation, run in the foreground the way the rc scripts start it.

It serves the same homes as the C programs, with the same uid, so that the two can take turns or stand side by side.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from tests.peers.programs import Missing, Place, Process, free_port, wait_for_file, wait_for_port

SOURCE = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 120


class OurProcess(Process):
    """A program of ours without a namespace around it: it is asked to end, then made to."""

    def tree(self) -> list[psutil.Process]:
        """The program and what is below it now."""
        try:
            top = psutil.Process(self.popen.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """End it and everything that it started."""
        known = self.tree()
        self.popen.terminate()
        try:
            self.popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        for process in known:
            if process.is_running():
                process.kill()
        self.popen.wait()


def installation(place: Path) -> Path:
    """`make install install-configure` into place/ours; gives the prefix."""
    prefix = place / "ours"
    if not (prefix / "libexec").exists():
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}  # noqa: TID251
        argv = ["make", "-s", "install", "install-configure", f"prefix={prefix}", f"piddir={prefix}/run"]
        done = subprocess.run(argv, cwd=SOURCE, env=clean, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise Missing(f"make install: {done.stderr[-500:]}")
        (prefix / "run").mkdir(exist_ok=True)
    return prefix


class Ours:
    """authdaemond, couriertcpd, imaplogin, imapd of this source tree.

    `auth` names the directory of another authdaemond's socket, which our login programs then use.  Another `name` means
    an installation of its own; `options` are more of couriertcpd's, `settings` more of the environment.
    """

    def __init__(
        self,
        place: Place,
        auth: Path | None = None,
        name: str = "ours",
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.options = tuple(options)
        self.settings = dict(settings or {})
        self.place = place
        self.prefix = installation(place.path if name == "ours" else place.path / name)
        self.etc = self.prefix / "etc"
        self.own_auth = auth is None
        self.auth = auth or self.prefix / "var/authdaemon"
        self.log = self.prefix / ("imapd-other-auth.log" if auth else "imapd.log")
        self.processes: list[Process] = []
        self.port = 0

    def write_userdb(self, text: str | None = None) -> None:
        """Write userdb and build its databases with our makeuserdb; the accounts of the place by default."""
        source = self.etc / "userdb"
        source.write_text(self.place.userdb() if text is None else text, "utf-8")
        source.chmod(0o600)
        done = subprocess.run([self.prefix / "sbin/makeuserdb"], capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise Missing(f"makeuserdb: {done.stderr.decode()}")

    def run(self, program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
        """Run a program of the tree (`sbin/authtest`) to its end."""
        argv = [str(self.prefix / program), *arguments]
        environment = {"PATH": "/usr/bin:/bin", **settings}
        return subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False)

    def _start(self, argv: Sequence[str], log: Path, environment: Mapping[str, str]) -> OurProcess:
        with log.open("ab") as stderr:
            popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=environment, start_new_session=True
            )
        process = OurProcess(popen, log)
        self.processes.append(process)
        return process

    def start_authdaemond(self, modules: str = "authuserdb") -> Process:
        """Start our authdaemond; its socket is `auth / "socket"`."""
        self.write_userdb()
        (self.etc / "authdaemonrc").write_text(
            f'authmodulelist="{modules}"\ndaemons=5\nauthdaemonvar={self.auth}\nDEBUG_LOGIN=0\nDEFAULTOPTIONS=""\n'
        )
        log = self.prefix / "authdaemond.log"
        process = self._start([str(self.prefix / "libexec/authlib/authdaemond.daemon")], log, {"PATH": "/usr/bin:/bin"})
        wait_for_file(self.auth / "socket", process.popen, log)
        return process

    def start_imap(self, *options: str, login: Sequence[str] = (), **settings: str) -> Process:
        """Start couriertcpd on a free port; `login` takes the place of imaplogin and what follows it."""
        self.port = free_port()
        chain = login or (str(self.prefix / "sbin/imaplogin"), str(self.prefix / "bin/imapd"), "Maildir")
        limits = options or ("-maxprocs=400", "-maxperip=400")
        tcpd = str(self.prefix / "libexec/couriertcpd")
        script = 'set -a; . "$1"; IMAP_STARTTLS=NO; set +a; shift; exec "$@"'
        # What is set for this server counts more than what its file of settings says.
        own = ["env", *(f"{name}={value}" for name, value in self.settings.items())]
        argv = [*own, tcpd, "-nodnslookup", *self.options, *limits, f"127.0.0.1.{self.port}", *chain]
        environment = {"PATH": "/usr/bin:/bin", "AUTHDAEMONVAR": str(self.auth), **settings}
        process = self._start(["sh", "-c", script, "sh", str(self.etc / "imapd"), *argv], self.log, environment)
        wait_for_port(self.port, process.popen, self.log)
        return process

    def __enter__(self) -> Ours:
        if self.own_auth:
            self.start_authdaemond()
        self.start_imap()
        return self

    def stop(self) -> None:
        """End all of it."""
        while self.processes:
            self.processes.pop().stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
