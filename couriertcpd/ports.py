"""The port list, and the listening sockets that it asks for."""

import errno
import os
import socket
from dataclasses import dataclass

from couriertcpd import addresses
from couriertcpd.switches import Misuse

_FREEBIND = getattr(socket, "IP_FREEBIND", 15)  # Linux's number; Python 3.11 has no name for it

# What socket() and bind() say on a host without IPv6.
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place to listen at; address "" is the wildcard of IPv6 and IPv4 together."""

    address: str
    port: int


def parse(text: str, default_address: str) -> tuple[Endpoint, ...]:
    """Read a comma-separated list of PORT and ADDRESS.PORT, split at the last dot.  Raises Misuse."""
    endpoints = tuple(_endpoint(item.strip(), default_address) for item in text.split(",") if item.strip())
    if not endpoints:
        raise Misuse(f"Invalid port: {text}")
    return endpoints


def _endpoint(item: str, default_address: str) -> Endpoint:
    address, _, port = item.rpartition(".")
    if address in ("", "0"):
        address = default_address
    if address in ("", "0"):
        return Endpoint("", _port(port))
    try:
        addresses.packed(address)
    except ValueError as error:
        raise Misuse(str(error)) from error
    return Endpoint(address, _port(port))


def _port(text: str) -> int:
    """A number from 1 to 65535, or the name of a TCP service of services(5)."""
    if text.isascii() and text.isdigit():
        number = int(text[:6])
        if 0 < number <= 65535:
            return number
        raise Misuse(f"Invalid port: {text}")
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, ValueError) as error:
        raise Misuse(f"Invalid port: {text}") from error


def listen(endpoints: tuple[Endpoint, ...]) -> list[socket.socket]:
    """Bind and listen everywhere, or nowhere: raises Misuse, with the original's words first."""
    sockets: list[socket.socket] = []
    for endpoint in endpoints:
        try:
            sockets += _listen_at(endpoint)
        except OSError as error:
            for opened in sockets:
                opened.close()
            where = endpoint.address or "any address"
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise Misuse(f"bind: {reason}\ncouriertcpd: cannot listen on {where}, port {endpoint.port}") from error
    return sockets


def _listen_at(endpoint: Endpoint) -> list[socket.socket]:
    if endpoint.address:
        family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
        return [_bound(family, endpoint.address, endpoint.port)]
    sockets = []
    try:
        sockets.append(_bound(socket.AF_INET6, "::", endpoint.port))
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
    try:
        sockets.append(_bound(socket.AF_INET, "0.0.0.0", endpoint.port))
    except OSError:
        if not sockets:  # otherwise the IPv6 socket serves both, which is why IPv4 could not have the port
            raise
    return sockets


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            target = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4]
            listener.bind(target)  # getaddrinfo() because it alone understands a scope
        else:
            listener.bind((address, port))
        listener.listen(socket.SOMAXCONN)
    except OSError:
        listener.close()
        raise
    return listener
