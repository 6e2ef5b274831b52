"""A real listener on loopback behind a proxy."""

import socket

import pytest

from couriertcpd.proxy_protocol import V2_START
from tests.unit.couriertcpd.listening import environment


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 993\r\n",
        V2_START + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + b"\x03\xe8\x03\xe1",
    ],
)
def test_the_proxy_protocol(start, header: bytes) -> None:
    tcpd = start("-haproxy=15/port=PORT", program=("/bin/sh", "-c", "env; exec cat"))
    client = tcpd.connect("127.0.0.5")
    client.socket.sendall(header + b"not the header's")
    client.socket.shutdown(socket.SHUT_WR)
    answer = client.rest()
    assert answer.endswith(b"\nnot the header's")
    told = environment(answer.rpartition(b"\n")[0])
    assert (told["TCPREMOTEIP"], told["TCPREMOTEPORT"]) == ("::ffff:192.0.2.1", "1000")
    assert (told["TCPLOCALIP"], told["TCPLOCALPORT"]) == ("::ffff:192.0.2.2", "993")
    assert told["TCPREMOTEINFO"] == f"proxy via ::ffff:127.0.0.5, port {client.socket.getsockname()[1]}"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", V2_START + b"\x20\x00\x00\x00"])
def test_a_proxy_that_speaks_for_itself(start, header: bytes) -> None:
    tcpd = start("-haproxy", program=("/usr/bin/env",))
    client = tcpd.connect("127.0.0.5")
    client.socket.sendall(header)
    told = environment(client.rest())
    assert told["TCPREMOTEIP"] == "::ffff:127.0.0.5"
    assert "TCPREMOTEINFO" not in told


def test_limits_count_the_address_behind_the_proxy(start) -> None:
    tcpd = start("-haproxy", "-maxperip=1")
    behind = [tcpd.connect() for _ in range(3)]
    for client, address in zip(behind, ("192.0.2.1", "192.0.2.2", "192.0.2.1"), strict=True):
        client.socket.sendall(b"PROXY TCP4 %s 192.0.2.9 1 2\r\n" % address.encode())
        assert client.echoes() == (client is not behind[2])
    tcpd.expect("ALERT: Maximum connection limit reached for ::ffff:192.0.2.1\n")


def test_a_slow_proxy_client_blocks_nobody_and_is_closed_in_time(start) -> None:
    tcpd = start("-haproxy=1")
    slow, silent = tcpd.connect("127.0.0.2"), tcpd.connect("127.0.0.3")
    slow.socket.sendall(b"PROXY TCP4 192")
    quick = tcpd.connect()
    quick.socket.sendall(b"PROXY UNKNOWN\r\n")
    assert quick.echoes()
    assert slow.rest() == silent.rest() == b""
    tcpd.expect("haproxy: timeout, ip=[::ffff:127.0.0.2]\n")
    tcpd.expect("haproxy: timeout, ip=[::ffff:127.0.0.3]\n")
    assert quick.echoes()


def test_clients_that_owe_a_header_hold_slots(start) -> None:
    tcpd = start("-haproxy=60", "-maxprocs=2")
    owing = [tcpd.connect() for _ in range(2)]
    tcpd.expect("ALERT: 2 maximum active connections.\n")
    waiting = tcpd.connect()
    waiting.socket.sendall(b"PROXY UNKNOWN\r\nhello\n")
    owing[0].socket.sendall(b"PROXY UNKNOWN\r\n")
    assert owing[0].echoes()
    assert waiting.has_nothing()
    owing[1].close()
    assert waiting.socket.recv(100) == b"hello\n"


def test_a_proxy_that_only_looks_is_not_logged(start) -> None:
    tcpd = start("-haproxy")
    tcpd.connect().close()
    half = tcpd.connect("127.0.0.2")
    half.socket.sendall(b"PROXY")
    half.close()
    tcpd.expect("haproxy: connection closed before the end of the PROXY statement, ip=[::ffff:127.0.0.2]\n")
    assert tcpd.log.count(b"haproxy:") == 1


def test_a_bad_header_ends_the_connection(start) -> None:
    tcpd = start("-haproxy")
    client = tcpd.connect()
    client.socket.sendall(b"a001 NOOP\r\n")
    assert client.rest() == b""
    tcpd.expect("haproxy: missing PROXY statement, ip=[::ffff:127.0.0.1]\n")
