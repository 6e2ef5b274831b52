import socket

import pytest

from couriertcpd import addresses, ports
from couriertcpd.ports import Endpoint
from couriertcpd.switches import Misuse


def free_port() -> socket.socket:
    """Bound on every address, so that a listener may have the port and nobody else does."""
    reserved = socket.socket(socket.AF_INET6)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    reserved.bind(("::", 0))
    return reserved


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this host")
def test_without_an_address_both_families_are_served() -> None:
    with free_port() as reserved:
        port = reserved.getsockname()[1]
        listeners = ports.listen((Endpoint("", port),))
        try:
            for target in ("127.0.0.1", "::1"):
                with socket.create_connection((target, port), 10):
                    assert not listeners[0].getblocking()
                    accepted, peer = listeners[0].accept()
                    assert addresses.packed(peer[0]) == addresses.packed(target)
                    accepted.close()
        finally:
            for listener in listeners:
                listener.close()


def test_all_or_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        free, port = other.getsockname()[1], taken.getsockname()[1]
        with pytest.raises(Misuse) as caught:
            ports.listen((Endpoint("127.0.0.1", free), Endpoint("127.0.0.1", port)))
        assert str(caught.value) == (
            f"bind: Address already in use\ncouriertcpd: cannot listen on 127.0.0.1, port {port}"
        )
        other.listen()  # the first socket was closed again


def test_an_address_that_the_host_does_not_have_yet() -> None:
    with free_port() as reserved:
        (listener,) = ports.listen((Endpoint("192.0.2.1", reserved.getsockname()[1]),))
        assert listener.getsockname()[0] == "192.0.2.1"
        listener.close()
