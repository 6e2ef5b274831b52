"""couriertls by itself: as a client, as a server on descriptors, and what it says of settings that will not work."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from chain import CLIENT_SECONDS

from tests.tls.authority import Authority, put
from tests.tls.servers import ANYBODY, Servers

ONE_FORM = pytest.mark.parametrize("chain", ["exec"], indirect=True)
LOGOUT = b"a LOGOUT\r\n"


class Program:
    """Runs couriertls of the installed tree."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self, *arguments: str, given: bytes = b"", descriptors: tuple[int, ...] = (), **settings: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Give it something to say; the end of its input would end it before the answer."""
        command: list[str | Path] = [self.path, *arguments]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=settings, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=descriptors
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(given)
            process.stdin.flush()
            said, complained = process.stdout.read(), process.stderr.read()
        return subprocess.CompletedProcess(command, process.returncode, said, complained)


@pytest.fixture
def program(installed_tree) -> Program:
    return Program(installed_tree.bin / "couriertls")


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> str:
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    return str(tmp_path / "authority.pem")


# The client.  The servers' certificate is for mail.example.


@ONE_FORM
@pytest.mark.parametrize("protocol", ["", "imap", "pop3"])
def test_a_client(protocol: str, program: Program, servers: Servers) -> None:
    how = {"": "imap", "imap": "imap+starttls", "pop3": "pop3+stls"}[protocol]
    options = [f"-protocol={protocol}"] if protocol else []
    given = b"QUIT\r\n" if protocol == "pop3" else LOGOUT
    done = program.run("-host=127.0.0.1", f"-port={servers.port(how).port}", *options, given=given)
    assert done.stdout.endswith((b"a OK LOGOUT completed\r\n", b"+OK Better luck next time.\r\n")), done.stderr
    assert done.returncode == 0


@ONE_FORM
def test_a_client_with_a_program(program: Program, servers: Servers, tmp_path: Path) -> None:
    """The program speaks on descriptors 0 and 1."""
    script = f'read greeting; echo "a LOGOUT"; cat >{tmp_path}/said; echo "$TLS_CONNECTED_PROTOCOL" >{tmp_path}/told'
    port = servers.port("imap").port
    done = program.run("-host=127.0.0.1", f"-port={port}", "/bin/sh", "-c", script, PATH="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").read_bytes().endswith(b"a OK LOGOUT completed\r\n")
    assert (tmp_path / "told").read_text().startswith("TLSv1.3,")


@ONE_FORM
@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["-verify=mail.example"], b""),
        (["-verify=peer", "-domain=mail.example"], b""),
        (["-verify=other.example"], b"Certificate owner mismatch: mail.example\n"),
        (["-verify=ail.example"], b"Certificate owner mismatch: mail.example\n"),
    ],
)
def test_whom_a_client_believes(
    options: list[str], refusal: bytes, program: Program, servers: Servers, trusted: str
) -> None:
    place = ["-host=127.0.0.1", f"-port={servers.port('imap').port}"]
    done = program.run(*place, *options, given=LOGOUT, TLS_TRUSTCERTS=trusted)
    assert done.stderr == refusal
    assert done.returncode == (1 if refusal else 0)
    assert (b"* OK" in done.stdout) != bool(refusal)


@ONE_FORM
def test_a_client_asks_for_the_name(program: Program, servers: Servers, authority: Authority, trusted: str) -> None:
    """It gets that name's certificate (SNI); one without alternative names is for its CN, or for one below a *."""
    authority.issue(("CN", "named.example")).put(servers.certificate.with_name("server.pem.named.example"))
    authority.server("*.wild.example").put(servers.certificate.with_name("server.pem.*.wild.example"))
    place = ["-host=127.0.0.1", f"-port={servers.port('imap').port}"]
    for name in ("named.example", "one.wild.example"):
        done = program.run(*place, f"-verify={name}", given=LOGOUT, TLS_TRUSTCERTS=trusted)
        assert (done.returncode, done.stderr) == (0, b""), name
    done = program.run(*place, "-verify=two.one.wild.example", given=LOGOUT, TLS_TRUSTCERTS=trusted)
    assert done.stderr == b"Certificate owner mismatch: mail.example\n"


@ONE_FORM
@pytest.mark.parametrize(
    ("asked", "names", "good"),
    [
        ("192.0.2.7", ("mail.example", "192.0.2.7"), True),
        ("2001:db8::7", ("192.0.2.7", "2001:db8:0:0::7"), True),
        ("2001:0DB8:0::0007", ("2001:db8::7",), True),
        ("mail.example", ("mail.example", "192.0.2.7"), True),
        ("192.0.2.8", ("mail.example", "192.0.2.7"), False),
        ("192.0.2.7", ("mail.example",), False),
        ("192.0.2.7", (), False),
        ("192.0.2.7", ("name 192.0.2.7",), False),
        ("192.0.2.7", ("name *.0.2.7",), False),
        ("192.0.2.7", ("::ffff:192.0.2.7",), False),
        ("mail.example", ("192.0.2.7",), True),
        ("192.0.2.7.example", ("192.0.2.7",), False),
    ],
)
def test_a_client_looks_for_an_address(
    asked: str, names: tuple[str, ...], good: bool, program: Program, servers: Servers, authority: Authority,
    trusted: str, tmp_path: Path,
) -> None:  # fmt: skip
    """An address counts as one of the alternative names only: not in the CN, and not where a name stands (RFC 9525)."""
    subject = ("CN", "192.0.2.7" if not names or names[0].startswith("name") else "mail.example")
    certificate = authority.issue(subject, names=names).put(tmp_path / "server.pem")
    port = servers.port("imap", TLS_CERTFILE=str(certificate)).port
    place = ["-host=127.0.0.1", f"-port={port}", f"-verify={asked}"]
    done = program.run(*place, given=LOGOUT, TLS_TRUSTCERTS=trusted)
    assert (done.returncode, b"* OK" in done.stdout) == ((0, True) if good else (1, False)), done.stderr
    assert done.stderr.startswith(b"Certificate owner mismatch: ") != good


@ONE_FORM
def test_a_client_believes_no_stranger(program: Program, servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "strangers.pem").write_bytes(Authority("Strangers").pem)
    place = ["-host=127.0.0.1", f"-port={servers.port('imap').port}", "-verify=mail.example"]
    done = program.run(*place, given=LOGOUT, TLS_TRUSTCERTS=str(tmp_path / "strangers.pem"))
    wanted = b"couriertls: connect: certificate verify failed: not signed by a trusted authority\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", wanted)
    assert program.run(*place, given=LOGOUT).stderr == b"TLS_TRUSTCERTS not set\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), b"couriertls: specify remote location.\n"),
        (("-host=127.0.0.1",), b"couriertls: specify remote location.\n"),
        (("-host=127.0.0.1", "-port=no-such-service"), b"no-such-service: invalid port.\n"),
        (("-host=127.0.0.1", "-port=65536"), b"65536: invalid port.\n"),
        (("-host=no-such-host.invalid", "-port=993"), b"no-such-host.invalid: not found.\n"),
        (("-host=127.0.0.1", "-port=1"), b"127.0.0.1: Connection refused\n"),
        (("-protocol=http", "-host=127.0.0.1", "-port=1"), b": not one of imap, pop3, smtp\n"),
    ],
)
def test_nowhere_to_connect_to(arguments: tuple[str, ...], complaint: bytes, program: Program) -> None:
    done = program.run(*arguments)
    assert done.returncode == 1
    assert done.stderr.endswith(complaint)
    assert done.stderr.count(b"\n") == 1


@ONE_FORM
def test_what_a_client_prints(program: Program, servers: Servers) -> None:
    """-printx509 tells of the server's certificate; -statusfd is closed without a word."""
    read_status, status = os.pipe()
    read_dump, dump = os.pipe()
    place = ["-host=127.0.0.1", f"-port={servers.port('imap').port}"]
    done = program.run(
        *place, f"-statusfd={status}", f"-printx509={dump}", given=LOGOUT, descriptors=(status, dump), TZ="UTC"
    )
    for descriptor in (status, dump):
        os.close(descriptor)
    assert done.returncode == 0, done.stderr
    with open(read_status) as told, open(read_dump) as printed:
        assert told.read() == ""
        lines = printed.read().splitlines()
    assert lines[:4] == ["Subject:", "   CN=mail.example", "", "Subject-Alt-Name-DNS: mail.example"]
    assert [line.partition(": ")[0] for line in lines[4:6]] == ["Not-Before", "Not-After"]
    assert [line.partition(": ")[0] for line in lines[-4:]] == ["Version", "Bits", "Cipher", "Exporter"]


def test_what_a_client_says_on_its_status_descriptor(program: Program) -> None:
    read_end, status = os.pipe()
    done = program.run("-host=127.0.0.1", "-port=1", f"-statusfd={status}", descriptors=(status,))
    os.close(status)
    with open(read_end) as told:
        assert told.read() == "127.0.0.1: Connection refused"
    assert (done.returncode, done.stderr) == (1, b"")


# The server, on descriptors, as imaplogin of the original starts it for STARTTLS.


class Served:
    """A couriertls between two socket pairs, and what it says on its descriptors."""

    def __init__(self, program: Program, certificate: Path, **settings: str) -> None:
        self.client, theirs = socket.socketpair()
        self.clear, clear = socket.socketpair()
        self._status, status = os.pipe()
        self._dump, dump = os.pipe()
        for end in (self.client, self.clear):
            end.settimeout(CLIENT_SECONDS)
        self.process = subprocess.Popen(
            [
                program.path, "-server", f"-remotefd={theirs.fileno()}", f"-localfd={clear.fileno()}",
                f"-statusfd={status}", f"-printx509={dump}",
            ],
            env={"TLS_CERTFILE": str(certificate), "TCPREMOTEIP": "192.0.2.1", **settings},
            pass_fds=(theirs.fileno(), clear.fileno(), status, dump), stderr=subprocess.PIPE,
        )  # fmt: skip
        for end in (theirs, clear):
            end.close()
        for descriptor in (status, dump):
            os.close(descriptor)

    def status(self) -> str:
        with open(self._status) as file:
            return file.read()

    def dump(self) -> str:
        with open(self._dump) as file:
            return file.read()

    def end(self) -> tuple[int, bytes]:
        """How it ended, and what it logged."""
        for end in (self.client, self.clear):
            end.close()
        _, logged = self.process.communicate(timeout=CLIENT_SECONDS)
        return self.process.returncode, logged


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return authority.server("mail.example").put(tmp_path / "server.pem")


def test_a_server_on_descriptors(program: Program, certificate: Path) -> None:
    served = Served(program, certificate, TLS_VERIFYPEER="NONE")
    with ANYBODY.wrap_socket(served.client) as client:
        assert served.status() == ""
        assert [line.partition(": ")[0] for line in served.dump().splitlines()] == [
            "Version", "Bits", "Cipher", "Exporter",
        ]  # fmt: skip
        client.sendall(b"hello")
        assert served.clear.recv(100) == b"hello"
        served.clear.sendall(b"to you too")
        assert client.recv(100) == b"to you too"
        served.clear.close()
        assert client.recv(100) == b""
    assert served.end() == (0, b"")


def test_a_server_that_gets_no_handshake(program: Program, certificate: Path) -> None:
    """The reason goes where somebody waits for it, and not into the log too."""
    served = Served(program, certificate, TLS_VERIFYPEER="NONE")
    served.client.sendall(b"this is no TLS\r\n")
    assert served.status() == "ip=[192.0.2.1], couriertls: accept: wrong version number"
    assert served.dump() == ""
    assert served.end() == (1, b"")


def test_a_server_without_a_certificate(program: Program, tmp_path: Path) -> None:
    """Where it is, and why it will not do, is for the log only."""
    served = Served(program, tmp_path / "none.pem")
    assert (
        served.status() == "ip=[192.0.2.1], couriertls: there is no usable certificate here; the server's log says more"
    )
    status, logged = served.end()
    assert status == 1
    assert logged.startswith(f"ERR: {tmp_path}/none.pem: there is no such file (TLS_CERTFILE)".encode())
    assert logged.count(b"\n") == 1


# -check


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path / "server.pem"


def complaints(program: Program, pem: Path, octets: bytes | None, **settings: str) -> tuple[int, list[str]]:
    if octets is not None:
        put(pem, octets)
    done = program.run("-check", **{"TLS_CERTFILE": str(pem), **settings})
    assert done.stdout == b""
    return done.returncode, done.stderr.decode().splitlines()


def test_nothing_to_complain_of(program: Program, pem: Path, authority: Authority) -> None:
    issued = Authority("Between", authority).server("mail.example")
    assert complaints(program, pem, issued.key + issued.chain) == (0, [])


def test_what_keeps_tls_from_working(program: Program, pem: Path, authority: Authority, tmp_path: Path) -> None:
    """One line each, which names the file and says what to do."""
    issued, other = authority.server("mail.example"), authority.server("mail.example")
    whole, none = issued.key + issued.chain, tmp_path / "none"
    damaged_key, damaged = issued.key.replace(b"M", b"N", 3), issued.chain.replace(b"M", b"N", 5)
    cases: list[tuple[bytes | None, dict[str, str], str]] = [
        (None, {}, f"{pem}: there is no such file (TLS_CERTFILE); put it there, or have one made by"),
        (None, {"TLS_CERTFILE": ""}, "TLS_CERTFILE is not set; name the certificate's file in imapd-ssl or pop3d-ssl"),
        (b"", {}, f"{pem}: there is no certificate in it (TLS_CERTFILE); it must hold one in PEM form"),
        (issued.key, {}, f"{pem}: there is no certificate in it (TLS_CERTFILE); it must hold one in PEM form"),
        (issued.chain, {}, f"{pem}: there is no private key in it; put it there, or name its file in TLS_PRIVATE_KEY"),
        (issued.key + damaged, {}, f"{pem}: a certificate in it is damaged; copy it anew, or get it anew"),
        (damaged_key + issued.chain, {}, f"{pem}: the private key is damaged or of an unknown kind; copy it anew"),
        (
            issued.locked_key(b"secret") + issued.chain,
            {},
            f"{pem}: the private key needs a passphrase; take it off: op",
        ),
        (
            other.key + issued.chain,
            {},
            f"{pem}: the private key does not belong to the first certificate in {pem}; use",
        ),
        (issued.chain, {"TLS_PRIVATE_KEYFILE": str(none)}, f"{none}: there is no such file (TLS_PRIVATE_KEYFILE); put"),
        (whole, {"TLS_CIPHER_LIST": "NONSENSE"}, "TLS_CIPHER_LIST=NONSENSE: no cipher of that name; see openssl-cip"),
        (whole + b"x" * (1 << 20), {}, f"{pem}: larger than 1048576 octets (TLS_CERTFILE); is it the right file?"),
        (whole, {"TLS_TRUSTCERTS": "/etc/passwd", "TLS_VERIFYPEER": "PEER"}, "/etc/passwd: no certificate, or a damag"),
    ]
    for octets, settings, begin in cases:
        status, lines = complaints(program, pem, octets, **{"TLS_VERIFYPEER": "NONE", **settings})
        assert (status, len(lines)) == (1, 1), (begin, lines)
        assert lines[0].startswith(begin), lines


def test_what_clients_will_not_like(program: Program, pem: Path, authority: Authority, tmp_path: Path) -> None:
    """TLS works, with a warning."""
    between = Authority("Between", authority)
    issued = between.server("mail.example")
    expired = authority.issue(("CN", "mail.example"), days=-1)
    put(tmp_path / "empty", b"")
    put(tmp_path / "server.pem.broken.example", issued.chain)
    own = issued.chain.partition(between.pem)[0]
    whole, empty = issued.key + issued.chain, tmp_path / "empty"
    cases = [
        (expired.key + expired.chain, {}, f"{pem}: expired on "),
        (issued.key + own + authority.pem + between.pem, {}, f"{pem}: the chain is out of order: put the certificate"),
        (whole, {"TLS_DHPARAMS": str(empty)}, f"{empty}: there are no DH PARAMETERS"),
        (whole, {}, f"{pem}.broken.example: there is no private key in it; put it there"),
    ]
    for octets, settings, begin in cases:
        status, lines = complaints(program, pem, octets, **settings)
        assert status == 0
        assert [line for line in lines if line.startswith(begin)], lines


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="root reads everything, and can become somebody who does not")
def test_a_file_that_may_not_be_read(program: Program, pem: Path, authority: Authority) -> None:
    issued = authority.server("mail.example").put(pem)
    assert stat.S_IMODE(issued.stat().st_mode) == 0o600
    done = subprocess.run(
        [program.path, "-check"],
        env={"TLS_CERTFILE": str(pem)},
        capture_output=True,
        timeout=60,
        check=False,
        user=65534,
    )
    assert done.returncode == 1
    wanted = (
        f"{pem}: uid 65534 may not read it (TLS_CERTFILE); give the file to that account, or start the server as root"
    )
    assert done.stderr.decode().splitlines() == [wanted]
