"""The clear-text side of a TLS server: the next stage, a program of its own, or a descriptor that it was given."""

from __future__ import annotations

import os
import signal
import socket

from couriertcpd import environ, log, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_MAX_TOLD_OCTETS = 65536
_MAY_BE_TOLD = b"TLS_"
_PROGRAM_SECONDS = 10  # after the program has ended, for what it has left in the socket


class NotTaken(Exception):
    """Nobody takes the connection behind TLS; the text says why."""


class ClearSide:
    """What is behind TLS."""

    def open(self, told: dict[bytes, bytes]) -> tuple[int, int]:
        """The descriptors to read from and to write to, when TLS has been agreed on; told is put into the environment.

        Raises NotTaken.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """There will be no TLS."""


class Beside(ClearSide):
    """Whoever started us has made the connection already."""

    def __init__(self, descriptor: int, to_write: int = -1) -> None:
        self._descriptors = descriptor, descriptor if to_write < 0 else to_write

    def open(self, told: dict[bytes, bytes]) -> tuple[int, int]:
        """As they are: but a socket does not block any more."""
        if self._descriptors[0] == self._descriptors[1]:
            os.set_blocking(self._descriptors[0], False)
        return self._descriptors


class NextStage(ClearSide):
    """The processes of the next stage that wait; descriptor is the TLS socket."""

    def __init__(self, program: list[str], descriptor: int) -> None:
        self._program, self._descriptor = program, descriptor

    def open(self, told: dict[bytes, bytes]) -> tuple[int, int]:
        """Hand over one end of a socket pair."""
        assert stage.next_socket is not None  # noqa: S101
        ours, theirs = socket.socketpair()
        for number in (0, 1):
            os.dup2(theirs.fileno(), number, inheritable=False)
        theirs.close()
        try:
            stage.hand_over(stage.next_socket, self._program, {**environ.everything(), **told})
        except OSError as error:
            raise NotTaken(f"hand-over to {self._program[0]}: {error.strerror or error}") from None
        for number in (0, 1):
            os.dup2(self._descriptor, number, inheritable=False)
        return _not_blocking(ours)


class Program(ClearSide):
    """A program that waits in a process of its own until TLS has been agreed on, with the rights that we give up."""

    def __init__(self, program: list[str]) -> None:
        self._ours, theirs = socket.socketpair()
        read_end, self._tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._ours.close()
            os.close(self._tell)
            _be_program(program, theirs, read_end)
        theirs.close()
        os.close(read_end)

    def open(self, told: dict[bytes, bytes]) -> tuple[int, int]:
        """Let it begin."""
        signal.signal(signal.SIGCHLD, _ended)
        with open(self._tell, "wb", buffering=0) as file:
            file.write(b"".join(b"%s=%s\0" % item for item in told.items()) + b"\0")
        return _not_blocking(self._ours)

    def abandon(self) -> None:
        """Let it end."""
        os.close(self._tell)
        self._ours.close()


def _not_blocking(ours: socket.socket) -> tuple[int, int]:
    ours.setblocking(False)
    descriptor = ours.detach()
    return descriptor, descriptor


def _ended(number: int, frame: object) -> None:
    """The program has ended: if something that it started holds the socket, not for ever."""
    signal.alarm(_PROGRAM_SECONDS)


def _be_program(program: list[str], clear: socket.socket, told: int) -> NoReturn:
    """Wait until there is TLS, with what is to be in the environment, and become the program."""
    status = stage.DONE
    try:
        octets = b""
        while not octets.endswith(b"\0\0") and len(octets) < _MAX_TOLD_OCTETS:
            more = os.read(told, _MAX_TOLD_OCTETS)
            if not more:
                os._exit(stage.DONE)  # there was no TLS
            octets += more
        for item in octets.split(b"\0"):
            name, _, value = item.partition(b"=")
            if name.startswith(_MAY_BE_TOLD):
                environ.put(name.decode("ascii"), value)
        for number in (0, 1):
            os.dup2(clear.fileno(), number)
        stage.execute(program)
    except BaseException as error:
        status = stage.TEMPORARY
        log.err(f"{program[0]}: {error.strerror if isinstance(error, OSError) else log.whereabouts(error)}")
    finally:
        os._exit(status)
