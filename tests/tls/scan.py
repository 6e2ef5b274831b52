"""Looks at a TLS server from outside: what it speaks, what it refuses, and what should worry its administrator.

    python -m tests.tls.scan HOST:PORT [--starttls imap|pop3] [--name SERVERNAME] [--alpn PROTOCOL] [--json]

The exit status is 1 where something is wrong, and 2 where there is no server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import ssl
import sys
from collections.abc import Iterator

from OpenSSL import SSL

SECONDS = 10
VERSIONS = {
    "TLSv1.0": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
RESUMED = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
OLD = ("TLSv1.0", "TLSv1.1")
WEAK = {
    "no encryption": b"eNULL:@SECLEVEL=0",
    "no authentication": b"aNULL:@SECLEVEL=0",
    "no forward secrecy": b"kRSA:@SECLEVEL=0",
    "3DES": b"3DES:@SECLEVEL=0",
    "RC4": b"RC4:@SECLEVEL=0",
    "MD5": b"MD5:@SECLEVEL=0",
}
_NOT_OURS = b"no-such-protocol"
_BEFORE = {"imap": (b"s STARTTLS\r\n", b"s OK"), "pop3": (b"STLS\r\n", b"+OK")}


class NoServer(Exception):
    """Nobody answers there, or nobody who starts TLS; the text says why."""


class Scanner:
    """One server; each look at it is a connection of its own."""

    def __init__(self, host: str, port: int, starttls: str = "", name: str = "", alpn: str = "") -> None:
        self._place = host, port
        self._starttls, self._name = starttls, name or host
        self._alpn = alpn or starttls or "imap"

    def report(self) -> dict[str, object]:
        """What is found, by what was looked for; `wrong` is a list of sentences."""
        versions = {name: self._accepts(low=number, high=number, ciphers=_ALL) for name, number in VERSIONS.items()}
        weak = {name: self._accepts(high=SSL.TLS1_2_VERSION, ciphers=ciphers) for name, ciphers in WEAK.items()}
        found: dict[str, object] = {
            "versions": versions,
            "ciphers": {name: self._ciphers(VERSIONS[name]) for name, spoken in versions.items() if spoken},
            "weak": weak,
            "server preference": self._prefers(),
            "renegotiation": versions["TLSv1.2"] and self._renegotiates(),
            "resumption": {name: self._resumes(version) for name, version in RESUMED.items() if versions[name]},
            "alpn": self._agrees_on(self._alpn.encode()),
            "alpn mismatch refused": not self._accepts(alpn=_NOT_OURS),
            "certificate": self._certificate(self._name),
            "certificate of another name": self._certificate("other.invalid"),
        }
        found["wrong"] = list(_wrong(found))
        return found

    @contextlib.contextmanager
    def _connected(
        self, low: int = 0, high: int = 0, ciphers: bytes = b"", alpn: bytes = b"", name: str = ""
    ) -> Iterator[SSL.Connection]:  # fmt: skip
        """A connection after the handshake; raises SSL.Error or OSError where there is none."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        for bound, setter in ((low, context.set_min_proto_version), (high, context.set_max_proto_version)):
            setter(bound)
        if ciphers:
            context.set_cipher_list(ciphers)
        if alpn:
            context.set_alpn_protos([alpn])
        with self._socket() as sock:
            tls = SSL.Connection(context, sock)
            tls.set_tlsext_host_name((name or self._name).encode("idna"))
            tls.set_connect_state()
            sock.setblocking(True)
            tls.do_handshake()
            yield tls

    @contextlib.contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        try:
            sock = socket.create_connection(self._place, timeout=SECONDS)
        except OSError as error:
            raise NoServer(f"{self._place[0]}:{self._place[1]}: {error.strerror or error}") from None
        with sock:
            if self._starttls:
                command, wanted = _BEFORE[self._starttls]
                with sock.makefile("rb", buffering=0) as lines:
                    lines.readline()
                    sock.sendall(command)
                    answer = lines.readline()
                if not answer.startswith(wanted):
                    raise NoServer(
                        f"no TLS after {command.decode().strip()}: {answer.decode(errors='replace').strip()}"
                    )
            timeout = SECONDS.to_bytes(8, sys.byteorder) + bytes(8)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
            yield sock

    def _accepts(self, low: int = 0, high: int = 0, ciphers: bytes = b"", alpn: bytes = b"") -> bool:
        try:
            with self._connected(low, high, ciphers, alpn):
                return True
        except (SSL.Error, OSError):
            return False

    def _ciphers(self, version: int) -> list[str]:
        """The server's ciphers of that version, in its order: what it takes first is left out the next time."""
        found: list[str] = []
        while True:
            left = _ALL + b"".join(b":!" + name.encode() for name in found)
            try:
                with self._connected(version, version, left) as tls:
                    name = tls.get_cipher_name()
            except (SSL.Error, OSError):
                return found
            if name is None or name in found:
                return found  # those of TLS 1.3 cannot be left out
            found.append(name)

    def _prefers(self) -> bool:
        """Whether the server's order of ciphers counts, not the client's."""
        names = self._ciphers(SSL.TLS1_2_VERSION)[:2]
        if len(names) < 2:
            return True
        taken = set()
        for order in (names, names[::-1]):
            with self._connected(SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION, ":".join(order).encode()) as tls:
                taken.add(tls.get_cipher_name())
        return len(taken) == 1

    def _renegotiates(self) -> bool:
        """Whether a client may have another handshake in the same connection (CVE-2009-3555, CVE-2011-1473)."""
        with self._connected(high=SSL.TLS1_2_VERSION) as tls:
            tls.renegotiate()
            try:
                tls.do_handshake()
            except (SSL.Error, OSError):
                return False
            return bool(tls.total_renegotiations())

    def _resumes(self, version: ssl.TLSVersion) -> bool:
        """Whether a session is taken up again; Python's ssl can tell, pyOpenSSL cannot."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        with self._socket() as sock, context.wrap_socket(sock, server_hostname=self._name) as tls:
            # With TLS 1.3 the ticket comes with what the server says first.
            tls.sendall(b"QUIT\r\n" if self._alpn == "pop3" else b"q LOGOUT\r\n")
            tls.recv(4096)
            session = tls.session
        with self._socket() as sock:
            with context.wrap_socket(sock, server_hostname=self._name, session=session) as tls:
                return bool(tls.session_reused)

    def _agrees_on(self, protocol: bytes) -> bool:
        try:
            with self._connected(alpn=protocol) as tls:
                return bool(tls.get_alpn_proto_negotiated() == protocol)
        except (SSL.Error, OSError):
            return False

    def _certificate(self, name: str) -> str:
        """The subject of the certificate that a client gets which asks for that name; empty for none."""
        try:
            with self._connected(name=name) as tls:
                certificate = tls.get_peer_certificate(as_cryptography=True)
                return str(certificate.subject.rfc4514_string()) if certificate is not None else ""
        except (SSL.Error, OSError):
            return ""


_ALL = b"ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def _wrong(found: dict[str, object]) -> Iterator[str]:
    versions, weak, resumption = found["versions"], found["weak"], found["resumption"]
    assert isinstance(versions, dict)
    assert isinstance(weak, dict)
    assert isinstance(resumption, dict)
    yield from (f"{name} is spoken: set TLS_PROTOCOL=TLSv1.2" for name in OLD if versions[name])
    if not (versions["TLSv1.2"] or versions["TLSv1.3"]):
        yield "neither TLSv1.2 nor TLSv1.3 is spoken"
    yield from (f"ciphers with {name} are taken: see TLS_CIPHER_LIST" for name, taken in weak.items() if taken)
    if not found["server preference"]:
        yield "the client's order of ciphers counts"
    if found["renegotiation"]:
        yield "a client may renegotiate"
    if not found["alpn mismatch refused"]:
        yield "a client that wants another protocol is not refused: set TLS_ALPN"
    yield from (f"sessions of {name} cannot be taken up again" for name, resumed in resumption.items() if not resumed)


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text}: say HOST:PORT")
    return host.strip("[]"), int(port)


def main(argv: list[str]) -> int:
    """Scan and print."""
    parser = argparse.ArgumentParser(prog="scan", description="Look at a TLS server from outside.")
    parser.add_argument("place", type=_place, metavar="HOST:PORT")
    parser.add_argument("--starttls", choices=tuple(_BEFORE), default="", help="ask for TLS in that protocol first")
    parser.add_argument("--name", default="", help="the server name to ask for (SNI); HOST without it")
    parser.add_argument("--alpn", default="", help="the protocol to ask for (ALPN)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv[1:])
    try:
        scanner = Scanner(*arguments.place, arguments.starttls, arguments.name, arguments.alpn)
        with scanner._socket():
            pass
        found = scanner.report()
    except NoServer as problem:
        print(f"scan: {problem}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name}: {_text(value)}")
    return 1 if found["wrong"] else 0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "".join(f"\n  {name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "".join(f"\n    {one}" for one in value) or "nothing"
    return str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
