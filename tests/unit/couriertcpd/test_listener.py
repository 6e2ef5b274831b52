"""A real listener on loopback: what it hands to its program, and how many it lets in."""

import os
import pty
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from couriertcpd import environ
from couriertcpd.proxy_protocol import V2_START

gdbm = pytest.importorskip("dbm.gnu")

SECONDS = 120
PROJECT = Path(__file__).parents[3]


def named(folder: Path, name: str, program: str = "/bin/cat") -> str:
    (folder / name).symlink_to(program)
    return str(folder / name)


def environment(text: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.decode().splitlines())


def test_the_program_is_told_who_is_connected(start) -> None:
    inherited = {**environ.everything(), b"TCPREMOTEHOST": b"stale", b"TCPREMOTEINFO": b"stale", b"KEPT": b"yes"}
    tcpd = start(program=("/usr/bin/env",), env=inherited)
    client = tcpd.connect("127.0.0.7")
    told = environment(client.rest())
    assert told["TCPREMOTEIP"] == "::ffff:127.0.0.7"
    assert told["TCPLOCALIP"] == "::ffff:127.0.0.1"
    assert told["TCPREMOTEPORT"] == str(client.socket.getsockname()[1])
    assert told["TCPLOCALPORT"] == str(tcpd.port)
    assert told["KEPT"] == "yes"
    assert not {"TCPREMOTEHOST", "TCPLOCALHOST", "TCPREMOTEINFO"} & set(told)


def test_ipv6(start) -> None:
    try:
        tcpd = start(program=("/usr/bin/env",), address="::1")
    except OSError:
        pytest.skip("no IPv6 on this host")
    told = environment(tcpd.connect("::1", "::1").rest())
    assert (told["TCPREMOTEIP"], told["TCPLOCALIP"]) == ("::1", "::1")


def test_the_program_inherits_the_client_the_log_and_the_slot_and_nothing_else(start) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    tcpd = start(program=("/bin/sh", "-c", "ls /proc/$$/fd; ls -l /proc/$$/fd/3 >&2"), pass_fds=(write_end,))
    assert tcpd.connect().rest().split() == [b"0", b"1", b"2", b"3"]
    tcpd.expect("-> pipe:")
    os.close(read_end)
    os.close(write_end)


def test_the_program_has_default_signals(start) -> None:
    tcpd = start(program=("/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"))
    # Above 31 are real-time signals, of which make has one ignored in all that it starts.
    masks = [int(line.split()[1], 16) & 0x7FFF_FFFF for line in tcpd.connect().rest().splitlines()]
    assert masks[:2] == [0, 0]


def test_names_are_looked_up_without_nodnslookup(start) -> None:
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    try:
        expected = socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror:
        pytest.skip("127.0.0.1 has no name here")
    port = reserved.getsockname()[1]
    tcpd = start(f"127.0.0.1.{port}", "/bin/sh", "-c", "env")  # the rest of the words are the program's
    tcpd.port = port
    told = environment(tcpd.connect().rest())
    assert told["TCPREMOTEHOST"] == told["TCPLOCALHOST"] == expected
    assert "RES_OPTIONS" not in told
    reserved.close()


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


def test_a_program_on_the_path(start) -> None:
    assert start(program=("cat",)).connect().echoes()


def test_exec_failure_is_one_line(start) -> None:
    tcpd = start(program=("/nonexistent/imaplogin",))
    assert tcpd.connect().rest() == b""
    tcpd.expect("ERR: cannot run /nonexistent/imaplogin: No such file or directory\n")
    assert tcpd.connect().rest() == b""


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


def write(path: Path, records: dict[str, str]) -> str:
    with gdbm.open(str(path), "n") as database:
        for key, value in records.items():
            database[key] = value
    return str(path)


def test_access_file(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"127.0.0.2": "deny", "127.0.0": "allow,DEFDOMAIN='@a,b',MAXCPERIP=6"})
    tcpd = start(f"-access={path}", "-denymsg=Go away", program=("/bin/sh", "-c", 'echo "$DEFDOMAIN"; exec cat'))
    assert tcpd.connect("127.0.0.2").rest() == b"Go away\n"
    inside = [tcpd.connect("127.0.0.3") for _ in range(6)]
    assert [client.socket.recv(100) for client in inside] == [b"@a,b\n"] * 6
    assert tcpd.connect("127.0.0.3").rest() == b""
    tcpd.expect("ALERT: MAXCPERIP=6 (access file): connection from ::ffff:127.0.0.3 refused\n")
    other = tcpd.connect("127.0.1.1")
    assert other.socket.recv(100) == b"\n"


def test_sighup_opens_the_access_file_again(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"*": "allow"})
    tcpd = start(f"-access={path}")
    assert tcpd.connect().echoes()
    write(tmp_path / "new", {"*": "deny"})
    os.rename(tmp_path / "new", path)
    assert tcpd.connect().echoes()
    tcpd.process.send_signal(signal.SIGHUP)
    assert tcpd.connect().rest() == b""


def test_accesslocal_denies_without_a_message(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"127.0.0.1": "deny", "127.0.0": "allow"})
    tcpd = start(f"-access={path}", "-accesslocal", "-denymsg=Go away")
    assert tcpd.connect("127.0.0.9").rest() == b""


def test_accesslocal_variables_give_way_to_the_remote_ones(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"127.0.0.1": "allow,A=local,B=local", "127.0.0.9": "allow,A=remote"})
    tcpd = start(f"-access={path}", "-accesslocal", program=("/usr/bin/env",))
    told = environment(tcpd.connect("127.0.0.9").rest())
    assert (told["A"], told["B"]) == ("remote", "local")


def test_accesslocal_needs_an_access_file(start) -> None:
    start("-accesslocal").expect("-accesslocal requires -access\n")


def test_drop(start, tmp_path: Path) -> None:
    path = write(tmp_path / "db", {"127.0.0.2": "allow,BLOCK=you", "127.0.0.3": "allow,BLOCK="})
    tcpd = start(f"-access={path}", "-drop", "-denymsg=Blocked")
    assert tcpd.connect("127.0.0.2").rest() == b"Blocked\n"
    assert tcpd.connect("127.0.0.3").echoes()
    tcpd.expect("WARN: dropped blocked connection from ::ffff:127.0.0.2\n")


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


def test_sockets_have_no_delay_and_keepalive(start) -> None:
    asks = (
        "import socket; s = socket.socket(fileno=0);"
        "print(s.getsockopt(6, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),"
        " __import__('os').get_blocking(0))"
    )
    tcpd = start(program=(sys.executable, "-I", "-S", "-c", asks))
    assert tcpd.connect().rest() == b"1 1 True\n"


def test_stderr_to_the_client(start, tmp_path: Path) -> None:
    tcpd = start("-stderr=socket", program=("/bin/sh", "-c", "echo log line >&2"), cwd=tmp_path, env=in_project())
    assert tcpd.connect().rest() == b"log line\n"
    assert not (tmp_path / "socket").exists()


def in_project() -> dict[bytes, bytes]:
    return {**environ.everything(), b"PYTHONPATH": os.fsencode(PROJECT)}


def test_stderr_to_a_file(start, tmp_path: Path) -> None:
    tcpd = start(f"-stderr={tmp_path}/log", program=("/bin/sh", "-c", "echo log line >&2; echo done"))
    assert tcpd.connect().rest() == b"done\n"
    assert (tmp_path / "log").read_text() == "log line\n"


def test_stderrlogger(start, watch, tmp_path: Path) -> None:
    logger = tmp_path / "logger"
    logger.write_text(f"#!/bin/sh\nexec >{tmp_path}/log\necho started for $1\nexec cat\n")
    logger.chmod(0o755)
    tcpd = start(
        f"-stderrlogger={logger}", "-stderrloggername=mail", program=("/bin/sh", "-c", "echo line >&2; echo ok")
    )
    assert tcpd.connect().rest() == b"ok\n"
    logger_process = watch(min(tcpd.children(), key=lambda child: child.create_time()).pid)
    tcpd.stop()
    assert logger_process.ends()
    assert (tmp_path / "log").read_text() == "started for mail\nline\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_takes_every_connection_along(start, watch, number: int) -> None:
    tcpd = start(program=("/bin/sh", "-c", "/bin/cat; exit 0"))
    client = tcpd.connect()
    assert client.echoes()
    processes = [watch(process.pid) for process in tcpd.children()]
    assert len(processes) == 2
    tcpd.process.send_signal(number)
    assert client.rest() == b""
    assert tcpd.process.wait(SECONDS) == 0
    assert all(process.ends() for process in processes)


def test_ctrl_c_on_a_terminal(start) -> None:
    """Only the listener hears ctrl-C; it ends its connections, and what shares its terminal lives on."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    script = f"trap 'echo shell interrupted' INT; '{sys.executable}' -m couriertcpd.tcpd -nodnslookup 127.0.0.1.{port}"
    script += " /bin/sh -c \"trap 'echo program interrupted' INT; echo served >/dev/tty; cat\"; echo ended $?"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT)
        os.execv("/bin/sh", ["sh", "-c", script])
    client = connect_when_up(port)
    seen = b""
    while b"served" not in seen:
        seen += os.read(terminal, 4096)
    client.sendall(b"hello\n")
    assert client.recv(100) == b"hello\n"
    os.write(terminal, b"\x03")
    while b"ended" not in seen:
        seen += os.read(terminal, 4096)
    assert b"shell interrupted" in seen
    assert b"program interrupted" not in seen
    assert client.recv(100) == b""
    os.waitpid(pid, 0)
    os.close(terminal)
    client.close()
    reserved.close()


def connect_when_up(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), SECONDS)
        except ConnectionRefusedError:
            continue


def test_a_port_in_use(start) -> None:
    taken = start()
    second = subprocess.run(
        [sys.executable, "-m", "couriertcpd.tcpd", f"127.0.0.1.{taken.port}", "/bin/cat"],
        cwd=PROJECT,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.decode().splitlines() == [
        "bind: Address already in use",
        f"couriertcpd: cannot listen on 127.0.0.1, port {taken.port}",
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_user_and_group(start) -> None:
    tcpd = start("-user=nobody", "-group=daemon", program=("/bin/sh", "-c", "id -un; id -gn"))
    assert tcpd.connect().rest() == b"nobody\ndaemon\n"
