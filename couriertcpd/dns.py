"""What the DNS says about a client: its verified name, and the -block and -allow lists.

Only ever called in the process of one connection, never in the listener: a slow name server delays one client.
"""

import socket
import time
from dataclasses import dataclass

from couriertcpd import addresses, environ, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dns.resolver import Resolver

SOFT_ERROR = "softdnserr"

QUERY_SECONDS = 3.0  # for one question, with its retries
ALL_LISTS_SECONDS = 15.0  # for all the questions of one connection
MAX_TEXT = 512  # characters of a TXT record that are kept

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


@dataclass(frozen=True, slots=True)
class DnsList:
    """One -block or -allow option.

    `address` (16 octets) is the only answer that counts as a hit, None for any.  `message` may hold an `@`, which
    becomes the client's address; `*` asks for the list's TXT record.
    """

    allow: bool
    zone: str
    display: str
    variable: str = "BLOCK"
    address: bytes | None = None
    message: str = ""


def verified_name(address: bytes) -> str | None:
    """The name that leads to this address and back; SOFT_ERROR when the DNS has no answer now; None without one."""
    try:
        name = socket.getnameinfo((addresses.native(address), 0), socket.NI_NAMEREQD)[0]
        if not _NAME_CHARACTERS.issuperset(name):
            return None
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        found = {addresses.packed(str(entry[4][0])) for entry in entries}
    except socket.gaierror as error:
        return SOFT_ERROR if error.errno == socket.EAI_AGAIN else None
    except ValueError:  # a name that no resolver takes
        return None
    return name if address in found else None


def hurry_resolver() -> None:
    """Keep the C library's resolver, and it alone, from waiting for long: glibc reads this at its first question."""
    environ.put("RES_OPTIONS", "timeout:2 attempts:1")


def consult(lists: tuple[DnsList, ...], client: bytes, variables: dict[bytes, bytes], resolver: "Resolver") -> None:
    """Ask the lists in order about the client and put what they say into variables.

    A list whose variable is already there is not asked.  A question without an answer in time is no hit.
    """
    deadline = time.monotonic() + ALL_LISTS_SECONDS
    allowed = 0
    for entry in lists:
        variable = entry.variable.encode()
        remaining = deadline - time.monotonic()
        if variable in variables or remaining <= 0:
            continue
        question = f"{reversed_name(client)}.{entry.zone}"
        hit = _hit(entry, _answers(resolver, question, "A", remaining))
        if hit is None:
            continue
        variables[variable + b"_ZONE"] = entry.display.encode("utf-8", "surrogateescape")
        variables[variable + b"_IP"] = hit.encode()
        if entry.allow:
            variables[variable] = b""
            variables[b"ALLOW_%d" % allowed] = variable
            allowed += 1
            continue
        text = entry.message.replace("@", addresses.native(client), 1)
        if entry.message == "*":
            texts = _answers(resolver, question, "TXT", max(deadline - time.monotonic(), 0.1))
            text = log.printable(texts[0])[:MAX_TEXT] if texts else ""
            variables[variable + b"_TXT"] = text.encode("utf-8", "surrogateescape")
        variables[variable] = (text or f"Blacklisted by {entry.display}").encode("utf-8", "surrogateescape")


def new_resolver() -> "Resolver | None":
    """A resolver for consult(), or None when the host has no usable resolv.conf or dnspython is not installed."""
    try:
        from dns.exception import DNSException
        from dns.resolver import Resolver
    except ImportError:
        log.err("-block and -allow need the Python package dnspython, which is not installed")
        return None
    try:
        return Resolver()
    except DNSException as error:
        log.err(f"-block and -allow need a name server: {error}")
        return None


def reversed_name(address: bytes) -> str:
    """The address as a DNS list names it: octets, or for IPv6 nibbles, in reverse."""
    if addresses.is_ipv4(address):
        return ".".join(str(octet) for octet in reversed(address[12:]))
    return ".".join(reversed(address.hex()))


def _hit(entry: DnsList, answers: list[str]) -> str | None:
    for answer in answers:
        if entry.address is None or addresses.packed(answer) == entry.address:
            return answer
    return None


def _answers(resolver: "Resolver", question: str, kind: str, seconds: float) -> list[str]:
    """The answers as text; none when there are none or the server did not say in time."""
    from dns.exception import DNSException

    try:
        records = resolver.resolve(question, kind, search=False, lifetime=min(QUERY_SECONDS, seconds))
    except (DNSException, OSError, UnicodeError):
        return []
    if kind == "A":
        return [record.address for record in records]
    return [b"".join(record.strings).decode("utf-8", "backslashreplace") for record in records]
