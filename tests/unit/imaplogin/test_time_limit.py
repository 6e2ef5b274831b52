"""The clock of the login phase, in a forked child so that it can be set short."""

import contextlib
import os
import re
import select
import signal
import socket
from collections.abc import Callable

import pytest

from couriertcpd import environ
from imaplogin import imaplogin, pop3login, preauth


def served(
    prepare: Callable[[], None], argv: list[str], main: Callable[[list[str]], int] = imaplogin.main
) -> tuple[socket.socket, int, int]:
    """Run the stage in a child: the client's socket, the read end of its log, its pid."""
    client, server = socket.socketpair()
    log_read, log_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(server.fileno(), 0)
            os.dup2(server.fileno(), 1)
            os.dup2(log_write, 2)
            os.closerange(3, 256)
            for name in ("TCPREMOTEIP", "TCPREMOTEPORT", "TCPLOCALPORT", "IMAP_TLS_REQUIRED"):
                environ.drop(name)
            prepare()
            os._exit(main(argv))
        finally:
            os._exit(77)
    server.close()
    os.close(log_write)
    client.settimeout(120)
    return client, log_read, pid


def everything(descriptor: int) -> str:
    with os.fdopen(descriptor) as log:
        return log.read()


ARGV = ["imaplogin", "imapd", "Maildir"]
WHO = r"ip=\[127\.0\.0\.1\], port=\[N/A\], time=\d+"


def test_a_login_that_takes_too_long_is_ended() -> None:
    def hurry() -> None:
        preauth.LOGIN_SECONDS = 1

    client, log, pid = served(hurry, ARGV)
    with client, client.makefile("rb") as lines:
        assert lines.readline().startswith(b"* OK ")
        assert lines.readline() == b"* BYE Disconnected for inactivity.\r\n"
        assert lines.readline() == b""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert everything(log).splitlines()[0] == "DEBUG: Connection, ip=[127.0.0.1], port=[N/A]"


def test_a_login_by_pop3_that_takes_too_long_is_ended_without_a_word() -> None:
    def hurry() -> None:
        preauth.LOGIN_SECONDS = 1

    client, log, pid = served(hurry, ["pop3login", "pop3d", "Maildir"], pop3login.main)
    with client, client.makefile("rb") as lines:
        assert lines.read() == b"+OK Hello there.\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert everything(log).splitlines() == [
        "DEBUG: Connection, ip=[127.0.0.1], port=[N/A]",
        "DEBUG: Disconnected, ip=[127.0.0.1], port=[N/A]",
    ]


def test_a_client_that_goes_is_logged() -> None:
    client, log, pid = served(lambda: None, ARGV)
    client.recv(1000)
    client.close()
    os.waitpid(pid, 0)
    assert re.fullmatch(rf"DEBUG: Disconnected, {WHO}", everything(log).splitlines()[1])


def test_shutdown_is_told() -> None:
    client, log, pid = served(lambda: None, ARGV)
    with client:
        client.recv(1000)
        os.kill(pid, signal.SIGTERM)
        assert client.recv(1000) == b"* BYE Courier-IMAP server shut down by signal.\r\n"
    os.waitpid(pid, 0)
    line = everything(log).splitlines()[1]
    assert re.fullmatch(rf"NOTICE: Disconnected during shutdown by signal, {WHO}", line)


def test_a_signal_that_comes_just_before_the_wait_ends_it() -> None:
    class Late:
        """Has the signal come when Python has looked for signals for the last time, and the system call begins."""

        def __init__(self) -> None:
            self._poll = poll()
            self.register = self._poll.register

        def poll(self) -> None:
            handler = signal.signal(signal.SIGTERM, lambda number, frame: None)
            os.kill(os.getpid(), signal.SIGTERM)
            self._poll.poll()
            assert callable(handler)
            handler(signal.SIGTERM, None)  # as soon as the call has returned

    def late() -> None:
        select.poll = Late

    poll = select.poll
    client, log, pid = served(late, ARGV)
    with client, client.makefile("rb") as lines:
        assert lines.readline().startswith(b"* OK ")
        assert lines.readline() == b"* BYE Courier-IMAP server shut down by signal.\r\n"
    os.waitpid(pid, 0)
    os.close(log)


@pytest.mark.parametrize("gone", [False, True])
def test_signals_that_come_during_the_last_words_change_nothing(gone: bool) -> None:
    def signalled_twice() -> None:
        def told(*words: object) -> None:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                os.kill(os.getpid(), number)
            say(*words)

        name = "_gone" if gone else "_say_bye"
        say = getattr(imaplogin, name)
        setattr(imaplogin, name, told)

    client, log, pid = served(signalled_twice, ARGV)
    client.recv(1000)
    if gone:
        client.close()
    else:
        os.kill(pid, signal.SIGTERM)
        assert client.recv(1000) == b"* BYE Courier-IMAP server shut down by signal.\r\n"
        client.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert re.fullmatch(rf".*, {WHO}", everything(log).splitlines()[1])


def test_who_does_not_take_the_last_words_is_left() -> None:
    def full() -> None:
        preauth.LAST_WORDS_SECONDS = 1
        os.set_blocking(1, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(1, b"x" * 65536)
        os.set_blocking(1, True)
        preauth.LOGIN_SECONDS = 1

    client, log, pid = served(full, ARGV)
    with client:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGALRM
    os.close(log)


def test_a_chain_that_is_too_short_is_told() -> None:
    client, log, pid = served(lambda: None, ["imaplogin", "imapd"])
    with client:
        assert client.recv(1000) == b"* BYE imaplogin expected exactly two arguments.\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    os.close(log)
