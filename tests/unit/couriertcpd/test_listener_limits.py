"""A real listener on loopback: how many it lets in."""

import resource
import signal
from pathlib import Path

import pytest

from tests.unit.couriertcpd.listening import write


def named(folder: Path, name: str, program: str = "/bin/cat") -> str:
    (folder / name).symlink_to(program)
    return str(folder / name)


def test_maxperip_lets_exactly_so_many_in(start) -> None:
    tcpd = start("-maxperip=2")
    inside = [tcpd.connect("127.0.0.2") for _ in range(2)]
    assert all(client.echoes() for client in inside)
    assert tcpd.connect("127.0.0.2").rest() == b""
    assert tcpd.connect("127.0.0.3").echoes()
    tcpd.expect("ALERT: Maximum connection limit reached for ::ffff:127.0.0.2\n")
    tcpd.expect("ALERT: -maxperip=2 (MAXPERIP): connection from ::ffff:127.0.0.2 refused\n")
    inside[0].close()
    assert tcpd.serves("127.0.0.2")
    assert inside[1].echoes()
    assert tcpd.connect("127.0.0.2").rest() == b""


@pytest.mark.parametrize(
    ("name", "start_of_answer"),
    [("imaplogin", b"* BYE [LIMIT] "), ("pop3login", b"-ERR [SYS/TEMP] "), ("couriertls", b"")],
)
def test_a_client_over_a_limit_is_told_where_the_protocol_allows(
    start, tmp_path: Path, name: str, start_of_answer: bytes
) -> None:
    tcpd = start("-maxperip=1", program=(named(tmp_path, name),))
    assert tcpd.connect().echoes()
    second = tcpd.connect()
    second.socket.sendall(b"a001 LOGIN early bird\r\n")
    answer = second.rest()
    assert answer.startswith(start_of_answer)
    assert answer.endswith(b"\r\n") == bool(start_of_answer)
    assert bool(answer) == bool(start_of_answer)


def test_maxperc_counts_a_block(start) -> None:
    tcpd = start("-maxperc=3", "-maxperip=2")
    inside = [tcpd.connect(f"127.0.1.{last}") for last in (1, 1, 2)]
    assert all(client.echoes() for client in inside)
    assert tcpd.connect("127.0.1.3").rest() == b""
    assert tcpd.connect("127.0.2.1").echoes()
    tcpd.expect("ALERT: -maxperc=3 (TCPDOPTS): connection from ::ffff:127.0.1.3 refused")
    tcpd.stop()
    assert b"Maximum connection limit" not in tcpd.log


def test_maxprocs_stops_accepting_until_a_slot_is_free(start) -> None:
    tcpd = start("-maxprocs=3", "-maxperip=9")
    inside = [tcpd.connect() for _ in range(3)]
    assert all(client.echoes() for client in inside)
    tcpd.expect("ALERT: 3 maximum active connections.\n")
    tcpd.expect("ALERT: -maxprocs=3 (MAXDAEMONS): ")
    waiting = tcpd.connect()
    waiting.socket.sendall(b"hello\n")
    assert inside[0].echoes()
    assert len(tcpd.children()) == 3
    assert waiting.has_nothing()
    inside[0].close()
    assert waiting.socket.recv(100) == b"hello\n"
    assert len(tcpd.children()) == 3
    tcpd.stop()
    assert tcpd.log.count(b"maximum active") == 1  # within the same minute


def test_the_warning_comes_before_the_alert(start) -> None:
    tcpd = start("-maxprocs=5", "-warn=2")
    clients = [tcpd.connect(f"127.0.0.{last}") for last in range(1, 6)]
    assert all(client.echoes() for client in clients)
    tcpd.expect("ALERT: 5 maximum active connections.\n")
    assert tcpd.log.count(b"active connections.\n") == 2
    assert tcpd.log.startswith(b"WARN: 2 active connections.\n")


def test_a_slot_is_free_after_kill_9_of_a_program_that_became_others(start) -> None:
    tcpd = start("-maxprocs=1", program=("/bin/sh", "-c", "exec /bin/sh -c 'exec /bin/cat'"))
    first = tcpd.connect()
    assert first.echoes()
    (child,) = tcpd.children()
    waiting = tcpd.connect()
    waiting.socket.sendall(b"hello\n")
    child.send_signal(signal.SIGKILL)
    assert first.rest() == b""
    assert waiting.socket.recv(100) == b"hello\n"


def test_a_process_that_is_left_behind_keeps_the_slot(start) -> None:
    tcpd = start("-maxprocs=1", program=("/bin/sh", "-c", "exec 4<&0; /bin/cat <&4 & exit 0"))
    first = tcpd.connect()
    assert first.echoes()
    waiting = tcpd.connect()
    waiting.socket.sendall(b"hello\n")
    assert first.echoes()
    assert first.echoes()
    assert waiting.has_nothing()
    first.close()
    assert waiting.socket.recv(100) == b"hello\n"


def test_a_process_that_closes_its_slot_keeps_it_while_it_lives(start) -> None:
    tcpd = start("-maxprocs=1", program=("/bin/sh", "-c", "exec 3>&-; exec /bin/cat"))
    first = tcpd.connect()
    assert first.echoes()
    waiting = tcpd.connect()
    waiting.socket.sendall(b"hello\n")
    assert first.echoes()
    assert waiting.has_nothing()
    first.close()
    assert waiting.socket.recv(100) == b"hello\n"


def test_two_hundred_connections_from_fifty_addresses(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"127.0.1.1": "deny", "127.0.5": "allow,MAXCPERIP=1"})
    tcpd = start("-maxprocs=111", "-maxperip=3", "-maxperc=25", f"-access={path}")
    sources = [f"127.0.{block}.{host}" for block in range(1, 6) for host in range(1, 11) for _ in range(4)]
    served = [source for source in sources if tcpd.connect(source).echoes()]
    per_block = [sum(source.startswith(f"127.0.{block}.") for source in served) for block in range(1, 6)]
    assert per_block == [25, 25, 25, 25, 10]
    assert "127.0.1.1" not in served
    assert max(served.count(source) for source in served) == 3
    assert len(tcpd.children()) == 110
    assert tcpd.connect("127.0.9.1").echoes()
    waiting = tcpd.connect("127.0.9.2")
    waiting.socket.sendall(b"hello\n")
    tcpd.expect("ALERT: 111 maximum active connections.\n")
    assert waiting.has_nothing()
    tcpd.stop()
    # Each of 8 or 9 addresses of the first four blocks once, until the block is full; each of the last one three times.
    refused = tcpd.log.count(b"ALERT: Maximum connection limit reached for ")
    assert refused == 4 * 8 + 10 * 3
    assert tcpd.log.count(b"ALERT: -maxperc=25 (TCPDOPTS): ") == 200 - 4 - 110 - refused


def test_no_process_for_a_connection(start) -> None:
    fails_once = """
from couriertcpd import spawn
fork = spawn.fork
def failing(run):
    spawn.fork = fork
    raise BlockingIOError(11, "Resource temporarily unavailable")
spawn.fork = failing
"""
    tcpd = start("-maxprocs=1", before=fails_once)
    assert tcpd.connect().rest() == b""
    tcpd.expect("ERR: fork: Resource temporarily unavailable; clients wait until there is room again\n")
    assert tcpd.connect().echoes()


def test_out_of_descriptors(start) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

    tcpd = start("-maxperip=40", preexec_fn=few)
    tcpd.expect("WARN: -maxprocs=40 needs 57 open files, the limit (ulimit -n) is 20\n")
    clients = [tcpd.connect() for _ in range(30)]
    tcpd.expect("ERR: accept: Too many open files; clients wait until there is room again\n")
    for client in clients:  # each one that ends makes room for another
        assert client.echoes()
        client.close()
    tcpd.stop()
    assert tcpd.log.count(b"Too many open files") == 1
