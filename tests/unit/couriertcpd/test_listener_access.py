"""A real listener on loopback with an access file."""

import os
import signal
from pathlib import Path

from tests.unit.couriertcpd.listening import environment, write


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
