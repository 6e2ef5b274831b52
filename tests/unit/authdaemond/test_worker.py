"""One connection of a worker: clients that are slow, silent, or do not read."""

import os
import socket
from collections.abc import Iterator

import pytest

from authdaemond import protocol, worker
from authdaemond.backend import Backend
from authdaemond.chain import Chain


class Everybody(Backend):
    """Lists more accounts than a socket buffer holds."""

    def enumerate(self) -> Iterator[protocol.Enumerated]:
        return (protocol.Enumerated(b"user%d" % number, 5, 5, b"/" + b"h" * 1000, b"", b"") for number in range(2000))


@pytest.fixture
def chain() -> Chain:
    return Chain({"everybody": Everybody}, b"", False)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_silent_client(
    chain: Chain, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "READ_SECONDS", 0.05)
    ends[1].sendall(b"PRE . imap")
    with pytest.raises(TimeoutError):
        worker.serve(chain, ends[0])


def test_trickling_client(
    chain: Chain, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def read_one(_self: protocol.RequestReader, octets: bytes) -> None:
        now[0] += 5
        ends[1].sendall(b"x")  # the client sends another octet each time, for ever

    monkeypatch.setattr(worker.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(protocol.RequestReader, "feed", read_one)
    monkeypatch.setattr(worker, "_READ_OCTETS", 1)
    ends[1].sendall(b"x")
    with pytest.raises(TimeoutError):
        worker.serve(chain, ends[0])
    assert now[0] <= worker.REQUEST_SECONDS + 5


def test_client_that_does_not_read(
    chain: Chain, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "WRITE_SECONDS", 0.05)
    ends[1].sendall(b"ENUMERATE\n")
    with pytest.raises(TimeoutError):
        worker.serve(chain, ends[0])


def test_client_that_has_gone(chain: Chain, ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].sendall(b"ENUMERATE\n")
    ends[1].close()
    with pytest.raises(OSError, match="Broken pipe"):
        worker.serve(chain, ends[0])


def test_idle_hook_and_end(
    chain: Chain, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)
    for name in ("signal", "set_wakeup_fd", "pthread_sigmask"):
        monkeypatch.setattr(worker.signal, name, lambda *_, **__: None)  # this process's own stay as they are
    called: list[str] = []
    lifeline, held = os.pipe()

    def idle() -> None:
        called.append("idle")
        if len(called) == 2:
            os.close(held)  # the parent goes

    monkeypatch.setattr(chain, "idle", idle)
    monkeypatch.setattr(chain, "close", lambda: called.append("close"))
    worker.Worker(chain, ends[0], lifeline).run()  # any socket will do on which nothing comes
    os.close(lifeline)
    assert called == ["idle", "idle", "close"]
