"""authpipe: a program of the administrator's that speaks the daemon's own protocol on its standard input and output.

Each worker runs one, from its first request on, and sends it one request at a time without metadata lines.  FAIL asks
the next back end.  A program that ends, talks nonsense or is silent for half a minute is a temporary failure: it is
ended, and a new one is started with the next request.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

from authdaemond import protocol
from authdaemond.account import Account
from authdaemond.backend import Backend, Reject, TemporaryFailure
from couriertcpd import installed, log

_SILENCE_SECONDS = 30
_GRACE_SECONDS = 2  # to end by itself, once its standard input is closed
_TERM_SECONDS = 10  # to end once it is told to
_READ_OCTETS = 8192
_MAX_ENUMERATION_SECONDS = 600


def program_path() -> str:
    """Where the program is looked for: authlib/authProg in the configuration directory, else authProg."""
    preferred = os.path.join(installed.SYSCONFDIR, "authlib", "authProg")
    return preferred if os.path.exists(preferred) else os.path.join(installed.SYSCONFDIR, "authProg")


class Pipe(Backend):
    """One running program, or none.  A program that cannot be executed at the start is never asked."""

    def __init__(self, path: str = "", silence_seconds: float = _SILENCE_SECONDS) -> None:
        self._path = path or program_path()
        self._silence_seconds = silence_seconds
        self._usable = os.path.isfile(self._path) and os.access(self._path, os.X_OK)
        self._process: subprocess.Popen[bytes] | None = None

    def authenticate(self, request: protocol.Authenticate) -> Account:
        """Whatever the program makes of the credentials."""
        return self._ask_account(request)

    def lookup(self, request: protocol.Lookup) -> Account:
        """Whatever the program makes of the user id."""
        return self._ask_account(protocol.Lookup(b".", request.service, request.userid))

    def change_password(self, request: protocol.ChangePassword) -> None:
        """Have the program replace the password."""
        reply = self._ask(request, lambda reply: reply in (protocol.OK, protocol.FAIL))
        if reply != protocol.OK:
            raise Reject

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        """The accounts that the program lists; one that cannot list any answers with the final `.` alone."""
        if not self._usable:
            return
        process = self._send(protocol.Enumerate())
        reader = protocol.EnumerationReader()
        deadline = time.monotonic() + _MAX_ENUMERATION_SECONDS
        while not reader.complete:
            octets = self._read(process, deadline)
            try:
                yield from reader.feed(octets)
            except protocol.Malformed as error:
                raise self._broken(str(error)) from None

    def close(self) -> None:
        """End the program: its input ends, then it is told to, then it is made to."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        for seconds, number in ((_GRACE_SECONDS, signal.SIGTERM), (_TERM_SECONDS, signal.SIGKILL)):
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
        process.wait()

    def _ask_account(self, request: protocol.Request) -> Account:
        reply = self._ask(request, protocol.account_reply_complete)
        try:
            account = protocol.parse_account(reply)
        except protocol.Malformed as error:
            raise self._broken(f"answered with {error}") from None
        if account is None:
            raise Reject
        return account

    def _ask(self, request: protocol.Request, complete: Callable[[bytes], bool]) -> bytes:
        if not self._usable:
            raise Reject
        process = self._send(request)
        deadline = time.monotonic() + self._silence_seconds
        reply = b""
        while not complete(reply):
            reply += self._read(process, deadline)
            if len(reply) > protocol.MAX_REPLY_OCTETS or b"\n.\n" in reply[:-3]:
                raise self._broken("answered more than one account")
        return reply

    def _send(self, request: protocol.Request) -> subprocess.Popen[bytes]:
        try:
            octets = request.encode()
        except protocol.Malformed:
            raise Reject from None
        process = self._running()
        try:
            # Never blocks: a request is smaller than a pipe, and the last one was answered.
            os.write(_descriptor(process.stdin), octets)
        except OSError as error:
            raise self._broken(error.strerror) from None
        return process

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and (process.poll() is not None or _readable(process, 0)):
            log.warn(f"authpipe: {self._path} has ended, or speaks without being asked; starting it anew")
            self.close()
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    [self._path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
                )
            except OSError as error:
                raise TemporaryFailure(f"authpipe: {self._path}: {error.strerror}") from None
        return self._process

    def _read(self, process: subprocess.Popen[bytes], deadline: float) -> bytes:
        wait = min(self._silence_seconds, deadline - time.monotonic())
        if wait <= 0 or not _readable(process, wait):
            raise self._broken(f"said nothing for {self._silence_seconds:g} seconds")
        octets = os.read(_descriptor(process.stdout), _READ_OCTETS)
        if not octets:
            raise self._broken("ended without an answer")
        return octets

    def _broken(self, what: str | None) -> TemporaryFailure:
        self.close()
        return TemporaryFailure(f"authpipe: {self._path}: {what}; it is started anew with the next request")


def _descriptor(stream: object) -> int:
    number: int = stream.fileno()  # type: ignore[attr-defined]
    return number


def _readable(process: subprocess.Popen[bytes], seconds: float) -> bool:
    poll = select.poll()
    poll.register(_descriptor(process.stdout), select.POLLIN)
    return bool(poll.poll(seconds * 1000))


BACKEND = Pipe
