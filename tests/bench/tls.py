"""`python -m tests.bench.tls`: the encrypted IMAP port of ours, of the C Courier and of Dovecot, side by side.

Measured in turn, round by round, as in tests.bench: connect, handshake, LOGIN and LOGOUT from one client and from 16;
FETCH of all octets of a mailbox; the private memory that a session adds which has only logged in.  All have the same
certificate (RSA, 2048 bits), nobody takes a session up again.  "ours-exec" starts its programs anew for each client.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.mail import Corpus
from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Dovecot, Place

SERVERS = ("courier", "ours", "ours-reuse", "ours-exec", "dovecot", "dovecot-login")
MEASURES = {
    "login": "connect, handshake, LOGIN, LOGOUT, ms",
    "login-16": "the same from 16 clients, a second",
    "download": "FETCH of all octets, MB a second",
    "memory-idle": "USS a session, logged in, KiB",
}
_SECONDS = 60
_SESSIONS = 8
_CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_CLIENT.check_hostname, _CLIENT.verify_mode = False, ssl.CERT_NONE


class Client:
    """An IMAP client with TLS that costs little."""

    def __init__(self, port: int, account: Account) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = _CLIENT.wrap_socket(plain)
        self._buffer = bytearray(1 << 18)
        self._until(b"* ")
        self.ask(f'LOGIN "{account.address}" "{account.password}"'.encode())

    def _until(self, start: bytes) -> int:
        """Receive until the last line is complete and begins so; gives the octets that came."""
        total, tail = 0, b""
        while True:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            count = self.connection.recv_into(self._buffer)
            assert count, tail
            total += count
            tail = (tail + bytes(self._buffer[max(0, count - 500) : count]))[-500:]
            if tail.endswith(b"\r\n") and tail[:-2].rpartition(b"\r\n")[2].startswith(start):
                return total

    def ask(self, command: bytes) -> int:
        """A command and its whole answer."""
        self.connection.sendall(b"zq7 " + command + b"\r\n")
        return self._until(b"zq7 OK")

    def close(self) -> None:
        """LOGOUT and close."""
        self.ask(b"LOGOUT")
        self.connection.close()


def login(bench: Bench, corpus: Corpus, times: int) -> float:
    """One client: the median of some, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        Client(bench.port, bench.account).close()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def login_16(bench: Bench, corpus: Corpus, times: int) -> float:
    """16 clients at once: logins in a second."""

    def some() -> None:
        for _ in range(times // 2):
            Client(bench.port, bench.account).close()
            done.append(1)

    done: list[int] = []
    clients = [threading.Thread(target=some) for _ in range(16)]
    began = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(done) == 16 * (times // 2), "a client has failed"
    return len(done) / (time.perf_counter() - began)


def download(bench: Bench, corpus: Corpus, times: int) -> float:
    """FETCH 1:* BODY.PEEK[]: megabytes in a second."""
    client = Client(bench.port, bench.account)
    client.ask(b"SELECT INBOX")
    began = time.perf_counter()
    octets = client.ask(b"FETCH 1:* BODY.PEEK[]")
    took = time.perf_counter() - began
    client.close()
    assert octets > corpus.octets, octets
    return corpus.octets / took / 1e6


def memory_idle(bench: Bench, corpus: Corpus, times: int) -> float:
    """KiB for each of some sessions."""
    bench.quiet()
    before = bench.uss_kib()
    clients = [Client(bench.port, bench.account) for _ in range(_SESSIONS)]
    bench.quiet()  # those that have taken the place of the waiting ones wait too
    used = bench.uss_kib() - before
    for client in clients:
        client.close()
    return used / _SESSIONS


_HOW = {"login": login, "login-16": login_16, "download": download, "memory-idle": memory_idle}


def _certificate(place: Place) -> Path:
    key, path = place.path / "key.pem", place.path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True, timeout=_SECONDS)
    path.write_bytes(key.read_bytes() + path.read_bytes())
    path.chmod(0o600)
    return path


def _started(name: str, place: Place, certificate: Path, stack: contextlib.ExitStack) -> Courier | Dovecot | Ours:
    if name.startswith("dovecot"):
        return stack.enter_context(Dovecot(place, name, certificate=certificate))
    settings = {"IMAP_TLS": "1", "TLS_CERTFILE": str(certificate), "TLS_VERIFYPEER": "NONE"}
    if name == "courier":
        courier = Courier(place)
        stack.callback(courier.stop)
        courier.start_authdaemond()
        chain = (Courier.COURIERTLS, "-server", "-tcpd", "-user=courier", Courier.IMAPLOGIN, Courier.IMAPD, "Maildir")
        courier.start_imap(login=chain, settings="; ".join(f"{key}={value}" for key, value in settings.items()))
        return courier
    settings["COURIER_REUSE"] = "1" if name == "ours-reuse" else "0"
    ours = Ours(place, name=name, options=("-prefork=0" if name == "ours-exec" else "-prefork=4",), settings=settings)
    stack.callback(ours.stop)
    ours.start_authdaemond()
    stages = [str(ours.prefix / program) for program in ("bin/couriertls", "sbin/imaplogin", "bin/imapd")]
    ours.start_imap(login=(stages[0], "-server", "-tcpd", *stages[1:], "Maildir"))
    return ours


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tls")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--logins", type=int, default=30, help="of one client in a round (30), half of it of 16")
    options = parser.parse_args(argv[1:])
    place = Place([Account(f"{name}@example.com") for name in SERVERS])
    figures: dict[str, dict[str, list[float]]] = {only: {name: [] for name in SERVERS} for only in MEASURES}
    try:
        with contextlib.ExitStack() as stack:
            generate.fill(place.path / "corpus", options.messages, 1)
            corpus, certificate = Corpus(place.path / "corpus"), _certificate(place)
            benches = []
            for name, account in zip(SERVERS, place.accounts, strict=True):
                corpus.link(place.maildir(account), corpus.count)
                place.own_mail(place.maildir(account))
                server = _started(name, place, certificate, stack)
                prefix = server.prefix if isinstance(server, Ours) else None
                benches.append(Bench(name, server.port, account, place, server.processes, prefix))
                download(benches[-1], corpus, 0)  # it knows its mailbox then
            for number in range(options.rounds):
                for only, how in _HOW.items():
                    for at in range(len(benches)):
                        bench = benches[(number + at) % len(benches)]
                        figures[only][bench.name].append(how(bench, corpus, options.logins))
    finally:
        place.remove()
    for only, by_server in figures.items():
        print(f"{MEASURES[only]} ({options.messages} messages)" if only == "download" else MEASURES[only])
        for name, found in by_server.items():
            ratio = statistics.median([a / b for a, b in zip(found, by_server["courier"], strict=True)])
            print(f"  {name:14}{statistics.median(found):12,.2f}  x{ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
