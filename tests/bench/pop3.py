"""`python -m tests.bench.pop3`: POP3 of ours, of the C Courier and of Dovecot, side by side on copies of one mailbox.

Measured in turn, round by round, as in tests.bench: connect, login, STAT and UIDL, and RETR of all messages, which all
servers have listed before.  The client acknowledges at once (see tests.bench.client); every answer is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import time

from tests.bench.mail import Corpus
from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Dovecot, Place

_COURIER_LOGIN = ("/usr/lib/courier/courier/courierpop3login", "/usr/lib/courier/courier/courierpop3d", "Maildir")


class Client:
    """A POP3 client that costs little."""

    def __init__(self, port: int, account: Account) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)
        self.line()
        for command in (b"USER " + account.address.encode(), b"PASS " + account.password.encode()):
            self.ask(command)

    def _until(self, end: bytes) -> bytes:
        held = 0
        while True:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if held == len(self._buffer):
                self._buffer.extend(bytes(len(self._buffer)))
            with memoryview(self._buffer) as view:
                count = self.connection.recv_into(view[held:])
            assert count, bytes(self._buffer[:held])[-200:]
            held += count
            if self._buffer[max(0, held - len(end)) : held] == end:
                return bytes(self._buffer[:held])

    def line(self) -> bytes:
        """An answer of one line."""
        answer = self._until(b"\r\n")
        assert answer.startswith(b"+OK"), answer
        return answer

    def ask(self, command: bytes) -> bytes:
        """A command with an answer of one line."""
        self.connection.sendall(command + b"\r\n")
        return self.line()

    def ask_long(self, command: bytes) -> bytes:
        """A command whose answer ends in a line with a dot."""
        self.connection.sendall(command + b"\r\n")
        answer = self._until(b"\r\n.\r\n")
        assert answer.startswith(b"+OK"), answer[:200]
        return answer

    def quit(self) -> None:
        """QUIT and close."""
        self.ask(b"QUIT")
        self.connection.close()


def listing(port: int, account: Account, count: int, times: int) -> float:
    """Connect, login, STAT, UIDL: the median of some, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        client = Client(port, account)
        stat, uidl = client.ask(b"STAT"), client.ask_long(b"UIDL")
        took.append(time.perf_counter() - began)
        client.quit()
        assert stat.split()[1] == b"%d" % count
        assert uidl.count(b"\n") == count + 2
    return statistics.median(took) * 1000


def retrieval(port: int, account: Account, count: int, octets: int) -> float:
    """RETR of all messages, one after the other: messages in a second."""
    client = Client(port, account)
    began = time.perf_counter()
    received = sum([len(client.ask_long(b"RETR %d" % number)) for number in range(1, count + 1)])
    took = time.perf_counter() - began
    client.quit()
    assert received > octets, received
    return count / took


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pop3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1000)
    options = parser.parse_args(argv[1:])
    names = ("courier", "ours", "ours-reuse", "dovecot")
    place = Place([Account(f"{name}@example.com") for name in names])
    figures: dict[str, dict[str, list[float]]] = {name: {"listing": [], "retr": []} for name in names}
    try:
        with contextlib.ExitStack() as stack:
            generate.fill(place.path / "corpus", options.messages, 1)
            corpus = Corpus(place.path / "corpus")
            ports = {}
            for name, account in zip(names, place.accounts, strict=True):
                corpus.link(place.maildir(account), corpus.count)
                place.own_mail(place.maildir(account))
                ports[name] = _started(name, place, stack)
                retrieval(ports[name], account, corpus.count, corpus.octets)  # they are listed and seen then
            for number in range(options.rounds):
                for at in range(len(names)):
                    name = names[(number + at) % len(names)]
                    account = place.accounts[names.index(name)]
                    figures[name]["listing"].append(listing(ports[name], account, corpus.count, 30))
                    figures[name]["retr"].append(retrieval(ports[name], account, corpus.count, corpus.octets))
    finally:
        place.remove()
    _tell(figures, options.messages)
    return 0


def _started(name: str, place: Place, stack: contextlib.ExitStack) -> int:
    if name == "courier":
        courier = Courier(place)
        stack.callback(courier.stop)
        courier.start_authdaemond()
        courier.start_imap(login=_COURIER_LOGIN)
        return courier.port
    if name == "dovecot":
        return stack.enter_context(Dovecot(place, name, "pop3")).port
    settings = {"COURIER_REUSE": "1"} if name == "ours-reuse" else {}
    ours = Ours(place, name=name, options=("-prefork=4",), settings=settings)
    stack.callback(ours.stop)
    ours.start_authdaemond()
    ours.start_imap(login=(str(ours.prefix / "sbin/pop3login"), str(ours.prefix / "bin/pop3d"), "Maildir"))
    return ours.port


def _tell(figures: dict[str, dict[str, list[float]]], messages: int) -> None:
    for what, text in (("listing", "connect, login, STAT, UIDL, ms"), ("retr", "RETR, messages a second")):
        print(f"{text} ({messages} messages)")
        standard = figures["courier"][what]
        for name, by_kind in figures.items():
            ratio = statistics.median([one / other for one, other in zip(by_kind[what], standard, strict=True)])
            print(f"  {name:12}{statistics.median(by_kind[what]):12,.2f}  x{ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
