"""Servers that speak TLS, in the form of the chain, and clients of them that are known in the log by their address."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from chain import CLIENT_SECONDS, PROTOCOLS, START_SECONDS, Account, Chain, Listener

_PAUSE_SECONDS = 0.02
_CHUNK = 1 << 20
_NUMBERS = re.compile(r"\b(time|rcvd|sent)=\d+")
_addresses: Iterator[str] = (f"127.{a}.{b}.{c}" for a in range(10, 250) for b in range(1, 250) for c in range(1, 250))


def own_address() -> str:
    """An address of the loopback that no other client of this run has."""
    return next(_addresses)


class Servers:
    """Starts servers for one module of tests; ends them after it."""

    def __init__(self, chain: Chain, certificate: Path) -> None:
        self.chain = chain
        self.certificate = certificate
        self._started: dict[object, Listener] = {}

    def port(self, how: str, *options: str, after: Path | None = None, **settings: str) -> Listener:
        """The server of one of HOW; the same one for the same settings.  A program may follow after the login."""
        protocol, _, start = how.partition("+")
        couriertls = self.chain.prefix / "bin/couriertls"
        login, server = (self.chain.prefix / program for program in PROTOCOLS[protocol])
        stages = (login, after or server, "Maildir")
        if start:
            told = {f"{protocol.upper()}_STARTTLS": "YES", "COURIERTLS": str(couriertls)}
            return self._listener(protocol, options, {**told, **self._settings(settings)}, stages)
        told = {f"{protocol.upper()}_TLS": "1"}
        stages = (couriertls, "-server", "-tcpd", *stages)
        return self._listener(protocol, options, {**told, **self._settings(settings)}, stages)

    def behind(self, program: Path, **settings: str) -> Listener:
        """couriertls in front of a program that is none of ours."""
        stages = (self.chain.prefix / "bin/couriertls", "-server", "-tcpd", program)
        return self._listener("imap", (), {"IMAP_TLS": "1", **self._settings(settings)}, stages)

    def _settings(self, settings: dict[str, str]) -> dict[str, str]:
        return {"TLS_CERTFILE": str(self.certificate), "TLS_VERIFYPEER": "NONE", **settings}

    def _listener(
        self, protocol: str, options: tuple[str, ...], settings: dict[str, str], stages: tuple[str | Path, ...]
    ) -> Listener:
        key = (protocol, options, *sorted(settings.items()), stages)
        if key not in self._started:
            self._started[key] = self.chain.listen(options, settings, stages, protocol)
        return self._started[key]

    def end(self) -> None:
        """End them all."""
        for listener in self._started.values():
            listener.process.terminate()
        for listener in self._started.values():
            listener.process.wait(START_SECONDS)


HOW = ("imap", "imap+starttls", "pop3", "pop3+stls")  # the ports, and how TLS begins there


def context(**settings: Any) -> ssl.SSLContext:
    """A client that believes every server; settings are attributes of the context."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    for name, value in settings.items():
        setattr(made, name, value)
    return made


ANYBODY = context()


class Talk:
    """A client that speaks in lines; `address` is where it comes from."""

    def __init__(self, listener: Listener, address: str = "", to: str = "127.0.0.1") -> None:
        self.address = address or own_address()
        self.socket: socket.socket = socket.create_connection(
            (to, listener.port), timeout=CLIENT_SECONDS, source_address=(self.address, 0)
        )
        self._file = self.socket.makefile("rb")

    def secure(self, client: ssl.SSLContext = ANYBODY, **options: Any) -> Talk:
        """Shake hands."""
        self._file.close()
        self.socket = client.wrap_socket(self.socket, **options)
        self._file = self.socket.makefile("rb")
        return self

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def line(self) -> bytes:
        return self._file.readline()

    def read(self, octets: int) -> bytes:
        return self._file.read(octets)

    def rest(self) -> bytes:
        """What comes until the end, however it comes to that."""
        octets = bytearray()
        with contextlib.suppress(OSError):
            while piece := self._file.read1(_CHUNK):
                octets += piece
        return bytes(octets)

    def ask(self, command: bytes) -> list[bytes]:
        """Send a line; the lines of the answer, in IMAP up to the tagged one, in POP3 that one line."""
        self.send(command + b"\r\n")
        return self.answer(command.split(b" ")[0])

    def answer(self, tag: bytes) -> list[bytes]:
        lines = []
        while True:
            line = self.line()
            if line:
                lines.append(line.rstrip(b"\r\n"))
            if not line or line.startswith((tag + b" ", b"+", b"-ERR")):
                return lines

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, where: TracebackType | None) -> None:
        self.close()


def secured(servers: Servers, how: str, client: ssl.SSLContext = ANYBODY, **settings: str) -> Talk:
    """A client that has TLS, one way or the other, and has read the greeting."""
    talk = Talk(servers.port(how, **settings))
    try:
        if "+" in how:
            talk.line()
            assert b"OK Begin SSL/TLS negotiation now." in ask_for_tls(talk, how)
            return talk.secure(client)
        talk.secure(client)
        talk.line()
        return talk
    except BaseException:
        talk.close()
        raise


def ask_for_tls(talk: Talk, how: str) -> bytes:
    """What the server says to STARTTLS or STLS."""
    return talk.ask(b"s STARTTLS" if how.startswith("imap") else b"STLS")[-1]


def log_in(talk: Talk, how: str, account: Account) -> bytes:
    """The answer to a login with a password."""
    name, password = account.name.encode(), account.password.encode()
    if how.startswith("imap"):
        return talk.ask(b"l LOGIN %s %s" % (name, password))[-1]
    talk.ask(b"USER " + name)
    return talk.ask(b"PASS " + password)[-1]


def mechanisms(talk: Talk, how: str) -> bytes:
    """What the server says of SASL."""
    if how.startswith("imap"):
        return talk.ask(b"c CAPABILITY")[0]
    talk.send(b"CAPA\r\n")
    lines = b""
    while not lines.endswith(b"\r\n.\r\n"):
        lines += talk.line()
    return lines


def told(chain: Chain, address: str) -> list[str]:
    """The lines of the log that name the client, without its address, port and counts."""
    ours = re.compile(rf"ip=\[(::ffff:)?{re.escape(address)}\]")
    lines = [line for line in chain.log_text().splitlines() if ours.search(line)]
    return [_NUMBERS.sub(r"\1=N", re.sub(r"port=\[\d+\]", "PORT", ours.sub("IP", line))) for line in lines]


def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(_PAUSE_SECONDS)


def until_told(chain: Chain, address: str, *lines: str) -> None:
    """Wait until exactly these lines of the log name the client, in this order; more than these are a failure."""
    until(lambda: len(told(chain, address)) >= len(lines), lambda: told(chain, address))
    assert told(chain, address) == list(lines), told(chain, address)
