"""authdaemond's protocol: the C daemon and ours give the same octets for the same requests on the same userdb."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.ours import Ours
from tests.peers.programs import UID, Courier, Place

SECRET_MD5 = "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"
SECRET_SHA1 = "091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034"
SECRET_SHA256 = (
    "5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b042016804d3dea2f4e991a21b1c8906be161594"
    "b202fb74afc8ceb3"
)
SHA = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="  # of "secret", as all below
MD5 = "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"

_COMMON = f"uid={UID}|gid={UID}|home=/nonexistent/home"
USERDB = "\n".join((
    f"plain@example.com\t{_COMMON}|systempw={SHA}",
    f"full@example.com\t{_COMMON}|mail=Mail dir|quota=1000S|gecos=Kim Q, Room 1|options=disablepop3=1,group=a"
    f"|shell=/bin/sh|systempw={SHA}",
    f"service@example.com\t{_COMMON}|imappw={SHA}|systempw={{SHA}}never",
    f"cram@example.com\t{_COMMON}|mail=M|quota=9C|gecos=C|options=disableimap=0|systempw={SHA}|hmac-md5pw={SECRET_MD5}"
    f"|hmac-sha1pw={SECRET_SHA1}|hmac-sha256pw={SECRET_SHA256}",
    f"imapcram@example.com\t{_COMMON}|imap-hmac-md5pw={SECRET_MD5}",
    f"with space@example.com\t{_COMMON}|systempw={SHA}",
    f"md5@example.com\t{_COMMON}|systempw={MD5}",
    f"sha256\t{_COMMON}|systempw={{SHA256}}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=",
    f"md5raw\t{_COMMON}|systempw={{MD5RAW}}5ebe2294ecd0e0f08eab7690d2a6ee69",
    f"lower\t{_COMMON}|systempw={{sha}}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    f"nopassword@example.com\t{_COMMON}",
    f"nohome@example.com\tuid={UID}|gid={UID}|systempw={SHA}",
    f"root@example.com\tuid=0|gid=0|home=/root|systempw={SHA}",
    f"change@example.com\t{_COMMON}|systempw={SHA}",
    f"changecram@example.com\t{_COMMON}|systempw={SHA}|hmac-md5pw={SECRET_MD5}",
    f"{UID}=\tplain@example.com",
    "",
))  # fmt: skip


def _auth(service: str, kind: str, data: str) -> bytes:
    octets = f"{service}\n{kind}\n{data}".encode()
    return b"AUTH %d\n" % len(octets) + octets


def _login(user: str, password: str, service: str = "imap") -> bytes:
    return _auth(service, "login", f"{user}\n{password}\n")


def _cram(user: str, password: str, algorithm: str, service: str = "imap") -> bytes:
    challenge = b"<1234.5678@example.com>"
    digest = hmac.new(password.encode(), challenge, getattr(hashlib, algorithm)).hexdigest()
    response = base64.b64encode(f"{user} {digest}".encode()).decode()
    return _auth(service, f"cram-{algorithm}", f"{base64.b64encode(challenge).decode()}\n{response}\n")


REQUESTS: dict[str, bytes] = {
    **{
        f"pre {user}": f"PRE . imap {user}\n".encode()
        for user in (
            "plain@example.com", "full@example.com", "service@example.com", "cram@example.com", "nobody@example.com",
            "nopassword@example.com", "nohome@example.com", "root@example.com", "with space@example.com",
            "PLAIN@example.com",
        )
    },
    "pre by module": b"PRE authuserdb imap plain@example.com\n",
    "pre by unknown module": b"PRE authnothing imap plain@example.com\n",
    "pre without a user": b"PRE . imap\n",
    "pre of nothing": b"PRE\n",
    "metadata": b"TCPREMOTEIP=192.0.2.1\nOTHER=x y\nPRE . imap plain@example.com\n",
    **{
        f"login {user}": _login(user, "secret")
        for user in (
            "plain@example.com", "full@example.com", "service@example.com", "cram@example.com", "sha256", "md5raw",
            "lower", "with space@example.com", "nopassword@example.com", "nohome@example.com", "root@example.com",
            "nobody@example.com", "md5@example.com",
        )
    },
    "login with a wrong password": _login("plain@example.com", "wrong"),
    "login by pop3 with an imap password": _login("service@example.com", "secret", "pop3"),
    "login without a final line end": _auth("imap", "login", "plain@example.com\nsecret"),
    "login with an empty password": _login("plain@example.com", ""),
    "login with a third line": _auth("imap", "login", "plain@example.com\nsecret\nmore\n"),
    "login with an unknown type": _auth("imap", "unheard", "plain@example.com\nsecret\n"),
    "login with the type in capitals": _auth("imap", "LOGIN", "plain@example.com\nsecret\n"),
    **{f"cram-{kind}": _cram("cram@example.com", "secret", kind) for kind in ("md5", "sha1", "sha256")},
    "cram with a wrong password": _cram("cram@example.com", "wrong", "md5"),
    "cram without a state": _cram("plain@example.com", "secret", "md5"),
    "cram of one service": _cram("imapcram@example.com", "secret", "md5"),
    "cram of another service": _cram("imapcram@example.com", "secret", "md5", "pop3"),
    "cram that is not base64": _auth("imap", "cram-md5", "PDEyPg==\n!!!!\n"),
    "enumerate": b"ENUMERATE\n",
    "unknown command": b"HELLO\n",
    "lower case": b"pre . imap plain@example.com\n",
    "empty line": b"\n",
    "incomplete line": b"PRE . imap plain@example.com",
    "incomplete data": b"AUTH 100\nimap\nlogin\n",
    "too much data announced": b"AUTH 8192\n" + b"x" * 100,
    "negative length": b"AUTH -1\nimap\n",
    "change with a wrong password": b"PASSWD imap\tchange@example.com\twrong\tother\n",
    "change for nobody": b"PASSWD imap\tnobody@example.com\tsecret\tother\n",
    "change with too few fields": b"PASSWD imap\tchange@example.com\tsecret\n",
    "change with a control character": b"PASSWD imap\tchange@example.com\tsecret\tot\x01her\n",
    "change": b"PASSWD imap\tchange@example.com\tsecret\tother\n",
    "login with the old password": _login("change@example.com", "secret"),
    "login with the new password": _login("change@example.com", "other"),
    "change with a cram state": b"PASSWD imap\tchangecram@example.com\tsecret\tother\n",
    "cram with the old password": _cram("changecram@example.com", "secret", "md5"),
    "cram with the new password": _cram("changecram@example.com", "other", "md5"),
}  # fmt: skip


def ask(directory: Path, request: bytes) -> bytes:
    """Send a request, say that nothing follows, and take all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(45)
        connection.connect(str(directory / "socket"))
        reply = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while octets := connection.recv(65536):
                reply += octets
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed without an answer while we were still sending
        return reply


@pytest.fixture(scope="module")
def daemons(courier: Courier, ours: Ours, place: Place) -> Iterator[tuple[Path, Path]]:
    """The sockets' directories of both, with USERDB in force; the usual accounts are put back at the end."""
    courier.write_userdb(USERDB)
    ours.write_userdb(USERDB)
    yield courier.auth, ours.auth
    courier.write_userdb()
    ours.write_userdb()


# One test, because PASSWD changes what the requests after it find.
def test_same_octets(daemons: tuple[Path, Path]) -> None:
    theirs, ours = daemons
    different = []
    accepted = 0
    for name, request in REQUESTS.items():
        answers = [_without_salt(ask(directory, request)) for directory in (theirs, ours)]
        accepted += answers[0].endswith(b".\n")
        if answers[0] != answers[1]:
            different.append((name, *answers))
    assert accepted > 20, "the C daemon knows the accounts"
    assert not different


def _without_salt(reply: bytes) -> bytes:
    """A changed password has a salt by chance, its scheme must be the same."""
    return re.sub(rb"(PASSWD=\$1\$).*", rb"\1", reply)


def test_makeuserdb_reads_the_same(daemons: tuple[Path, Path], courier: Courier, ours: Ours) -> None:
    """Either daemon serves the databases that the other's makeuserdb made."""
    for name in ("userdb.dat", "userdbshadow.dat"):
        theirs = (courier.configuration / name).read_bytes()
        here = (ours.etc / name).read_bytes()
        (courier.configuration / name).write_bytes(here)
        (ours.etc / name).write_bytes(theirs)
    request = _login("full@example.com", "secret")
    replies = [ask(directory, request) for directory in daemons]
    assert replies[0] == replies[1]
    assert b"ADDRESS=full@example.com\n" in replies[0]
