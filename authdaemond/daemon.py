"""authdaemond: answers, over a Unix socket, whether a password is right and what account it belongs to.

The parent reads authdaemonrc, makes the socket, and keeps workers that all accept on it.  SIGHUP reads the file again
and replaces the workers, one set by the next, while the socket stays; SIGTERM ends them.  It stays in the foreground:
the wrapper's courierlogger detaches it and takes its log.  See authdaemond(8).
"""

import os
import pwd
import signal
import socket
import time
from collections.abc import Callable

from authdaemond import chain, rcfile, ticketkey
from authdaemond.backend import Backend
from authdaemond.worker import Worker
from couriertcpd import environ, installed, log

_BACKLOG = 128
_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_TICK_SECONDS = 60.0
_HEALTHY_SECONDS = 10  # a worker that lived shorter than this may be dying at its start
_MAX_PAUSE_SECONDS = 60
_STOP_SECONDS = 5  # how long SIGTERM waits for requests under way
_RETIRE_SECONDS = 90  # how long a replaced worker may take to finish: longer than any client waits


def main(argv: list[str]) -> int:
    """Run the daemon; the one operand, which may be missing, is the configuration file."""
    if len(argv) > 2 or (argv[1:2] and argv[1].startswith("-")):
        log.err(f"Usage: {os.path.basename(argv[0])} [authdaemonrc]")
        return 1
    path = argv[1] if len(argv) == 2 else os.path.join(installed.SYSCONFDIR, "authdaemonrc")
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this may have ignored it
    settings = _settings(path)
    if settings is None:
        return 1
    directory = settings.directory or installed.AUTHDAEMONVAR
    try:
        listener = listen(directory)
    except OSError as error:
        log.err(f"{directory}: {error.strerror or error}; it must be a directory that authdaemond may write to")
        return 1
    with listener:
        Parent(path, settings, listener, directory).run()
    return 0


def listen(directory: str) -> socket.socket:
    """The listening socket, at its final name only once it works, with the key for tickets beside it.  Raises OSError.

    Everybody may connect who may enter the directory, which is made for root and the mail group if it is not there.
    """
    if not os.path.isdir(directory):
        os.makedirs(directory, 0o750)
        if os.geteuid() == 0:
            _let_mail_group_enter(directory)
    elif os.stat(directory).st_mode & 0o001:
        log.warn(f"{directory}: every user of this host may enter it, and try passwords; chmod o= {directory}")
    if os.geteuid() == 0:
        _take_from_mail_user(directory)
    _make_key(directory)  # before anybody can ask
    temporary = os.path.join(directory, "socket.tmp")
    if os.path.lexists(temporary):
        os.unlink(temporary)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(temporary)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        os.chmod(temporary, 0o777)  # noqa: S103  (the directory is the lock)
        os.rename(temporary, os.path.join(directory, "socket"))
    except OSError:
        listener.close()
        raise
    return listener


def _let_mail_group_enter(directory: str) -> None:
    try:
        group = pwd.getpwnam(installed.MAILUSER).pw_gid
    except KeyError:
        log.warn(f"{directory}: no user {installed.MAILUSER} on this host, so only root can enter it")
        return
    os.chown(directory, -1, group)


def _take_from_mail_user(directory: str) -> None:
    """See that the login stages, which run as the mail user, cannot put a socket or a key of theirs in place of ours.

    The original's installation makes that user the owner; everybody else enters by the group, as before.
    """
    status = os.stat(directory)
    try:
        mail = pwd.getpwnam(installed.MAILUSER)
    except KeyError:
        return
    if status.st_uid != mail.pw_uid or mail.pw_uid == 0:
        return
    log.info(f"{directory}: now belongs to root; {installed.MAILUSER}, as whom clients log in, may only enter it")
    enters = status.st_gid in os.getgrouplist(installed.MAILUSER, mail.pw_gid)
    os.chmod(directory, status.st_mode & 0o755 | 0o050)  # noqa: S103  (its group enters it)
    os.chown(directory, 0, -1 if enters else mail.pw_gid)


def _make_key(directory: str) -> None:
    try:
        ticketkey.make(directory)
    except (OSError, ticketkey.Untrusted) as error:
        log.warn(f"no key for tickets, so that login stages have to stay root: {error}")


def _settings(path: str) -> rcfile.Settings | None:
    """The settings of the file; None, and a log line, when it cannot be used."""
    try:
        return rcfile.read(path)
    except rcfile.BadLine as error:
        log.err(str(error))
    except OSError as error:
        log.err(f"{path}: {error.strerror}; make install-configure writes one")
    return None


class Parent:
    """The process that serves nobody itself, and sees to it that the workers are there."""

    def __init__(self, path: str, settings: rcfile.Settings, listener: socket.socket, key_directory: str) -> None:
        self._path = path
        self._key_directory = key_directory
        self._settings = settings
        self._listener = listener
        self._classes: dict[str, Callable[[], Backend]] = {}
        self._workers: dict[int, float] = {}  # since when each runs
        self._retiring: dict[int, float] = {}  # when each is killed
        self._pause_seconds = 0.0
        self._not_before = 0.0
        # Nobody writes to it.  Its read end tells the workers when the last writer, this process, has gone.
        self._lifeline, self._held = os.pipe()

    def run(self) -> None:
        """Keep the workers running until SIGTERM or SIGINT."""
        self._load()
        while True:
            self._reap()
            self._fill_up()
            number = signal.sigtimedwait(_SIGNALS, self._patience())
            if number is None or number.si_signo == signal.SIGCHLD:
                continue
            if number.si_signo == signal.SIGHUP:
                self._reload()
            else:
                self._stop()
                return

    def _load(self) -> None:
        names = self._settings.modules
        if names is None:
            names = chain.usual_modules()
        log.info(f'modules="{" ".join(names)}", daemons={self._settings.daemons}')
        if self._settings.debug > 1:
            log.info("DEBUG_LOGIN=2 works as 1: passwords are never logged")
        self._classes = chain.load(names)

    def _reload(self) -> None:
        settings = _settings(self._path)
        if settings is None:
            log.err("the configuration is as it was before, until the file is repaired and authdaemond restarted")
            return
        self._settings = settings
        self._load()
        deadline = time.monotonic() + _RETIRE_SECONDS
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
            self._retiring[pid] = deadline
        self._workers.clear()
        self._pause_seconds = self._not_before = 0.0

    def _fill_up(self) -> None:
        while len(self._workers) < self._settings.daemons and time.monotonic() >= self._not_before:
            try:
                pid = os.fork()
            except OSError as error:
                log.err(f"fork: {error.strerror}")
                self._back_off()
                return
            if pid == 0:
                self._become_worker()
            self._workers[pid] = time.monotonic()

    def _become_worker(self) -> None:
        status = 1
        try:
            os.close(self._held)
            for name, value in self._settings.variables.items():
                environ.put(name, value)
            backends = chain.Chain(
                self._classes, self._settings.default_options, self._settings.debug > 0, self._key_directory
            )
            Worker(backends, self._listener, self._lifeline).run()
            status = 0
        except Exception as error:  # whatever it is, this process must not go on as a second parent
            log.err(f"authdaemond worker: {type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def _reap(self) -> None:
        now = time.monotonic()
        for pid, deadline in self._retiring.items():
            if now >= deadline:
                os.kill(pid, signal.SIGKILL)
        while self._workers or self._retiring:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._retiring.pop(pid, None) is None and pid in self._workers:
                self._mourn(self._workers.pop(pid), pid, status)

    def _mourn(self, since: float, pid: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        log.err(f"authdaemond worker {pid} ended ({how}), another takes its place")
        if time.monotonic() - since < _HEALTHY_SECONDS:
            self._back_off()
        else:
            self._pause_seconds = 0.0

    def _back_off(self) -> None:
        """Wait before the next fork, longer each time, so that workers that die at once are no fork loop."""
        now = time.monotonic()
        if now - self._not_before > _MAX_PAUSE_SECONDS:
            self._pause_seconds = 0.0  # the last one was long ago
        self._not_before = now + self._pause_seconds
        self._pause_seconds = min(_MAX_PAUSE_SECONDS, max(1.0, 2 * self._pause_seconds))

    def _patience(self) -> float:
        """Seconds until there is something to do if nothing happens."""
        now = time.monotonic()
        due = list(self._retiring.values())
        if len(self._workers) < self._settings.daemons:
            due.append(self._not_before)
        return max(0.0, min([_TICK_SECONDS, *(when - now for when in due)]))

    def _stop(self) -> None:
        log.info("stopping authdaemond children")
        ticketkey.remove(self._key_directory)
        children = {**self._workers, **self._retiring}
        for pid in children:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while children and time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                children.pop(pid, None)
            else:
                signal.sigtimedwait([signal.SIGCHLD], max(0.0, deadline - time.monotonic()))
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
