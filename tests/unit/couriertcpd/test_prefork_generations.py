"""The prefork form when code or settings change, and when a process serves more than one client."""

import signal
from pathlib import Path

from couriertcpd import environ
from tests import tinystages
from tests.unit.couriertcpd.preforked import children


def test_sighup_brings_new_code_and_settings_and_leaves_sessions(serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text("COLOUR=red\nSHAPE=round\nFIXED=file\n")
    told = {**environ.everything(), b"COLOUR": b"red", b"SHAPE": b"round", b"FIXED": b"starter"}
    server = serve(f"-config={settings}", env=told)
    old = server.talk()
    assert old.ask("env COLOUR") == "red"
    settings.write_text("COLOUR=blue\nFIXED=new\n")
    talk = tmp_path / "talk.py"
    talk.write_text(talk.read_text().replace('return "spare" if', 'return "new spare" if'))
    retired = server.first()
    watched = server._watch(retired.pid)
    server.tcpd.process.send_signal(signal.SIGHUP)

    def is_new() -> bool:
        new = server.talk()
        how = new.ask("how")
        if how == "new spare":
            assert [new.ask(f"env {name}") for name in ("COLOUR", "SHAPE", "FIXED")] == ["blue", "unset", "starter"]
            new.go_on()
            assert (new.ask("how"), new.ask("env COLOUR")) == ("new spare", "blue")
        else:
            assert (how, new.ask("env COLOUR")) == ("spare", "red")
        new.close()
        return how == "new spare"

    server.until(is_new)
    assert watched.ends()
    assert [old.ask("how"), old.ask("env COLOUR")] == ["spare", "red"]
    old.go_on()  # the fork server of the second stage is there as long as somebody may need it
    assert [old.ask("how"), old.ask("env COLOUR")] == ["spare", "red"]
    server.until(lambda: server.connections() == 1)
    server.tcpd.stop()
    assert b"ended" not in server.tcpd.log


def test_a_broken_file_changes_nothing(serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text("COLOUR=red\n")
    server = serve(f"-config={settings}", env={**environ.everything(), b"COLOUR": b"red"})
    settings.write_text("COLOUR=blue\nif\n")
    old = server.first()
    watched = server._watch(old.pid)
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.tcpd.expect("settings:2: not understood")
    assert watched.ends()
    server.settle()
    assert server.talk().ask("env COLOUR") == "red"


def test_a_new_generation_that_cannot_start_leaves_the_old_one_in_place(serve, tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "talk.py").write_text("raise RuntimeError('no luck')\n")
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.tcpd.expect("no luck (RuntimeError")
    for _ in range(6):
        talk = server.talk()
        assert talk.ask("how") == "spare"
        talk.close()
    server.until(lambda: server.connections() == 0)
    tinystages.make(tmp_path)
    old = [child.pid for child in children(server)]
    server.tcpd.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(left := children(server)) == 1 and left[0].pid not in old)
    server.settle()


def test_reused_processes_serve_one_client_after_another(serve) -> None:
    server = serve(env={**environ.everything(), b"COURIER_REUSE": b"1"})
    pids = set()
    for number in range(12):
        talk = server.talk(f"127.0.0.{number + 1}")
        assert talk.ask("env TCPREMOTEIP") == f"::ffff:127.0.0.{number + 1}"
        assert talk.ask("fds") == "0+ 1+ 2+ 3+ 4- 5- 6- 7- 8- 9- 10- 11-"
        pids.add(talk.pid())
        if number % 3 == 0:
            talk.go_on()
            assert talk.ask("fds") == "0+ 1+ 2+ 3+ 9-"
        if number == 1:
            assert talk.ask("fail") == ""
        talk.close()
        server.until(lambda: server.connections() == 0)
    assert len(pids) <= 4
    talk = server.talk()
    failed = talk.pid()
    talk.ask("fail")
    server.tcpd.expect("ERR: first: internal error")
    assert failed not in {server.talk().pid() for _ in range(8)}


def test_a_reused_process_that_has_served_enough_makes_room_in_silence(serve, tmp_path: Path) -> None:
    folder = tmp_path / "enough"
    folder.mkdir()
    chain = tinystages.make(folder)
    with (folder / "first.py").open("a") as module:
        module.write("from couriertcpd import spare\nspare.MAX_CONNECTIONS = 3\n")
    server = serve(program=chain, env={**environ.everything(), b"COURIER_REUSE": b"1"})
    served: dict[int, int] = {}
    for _ in range(14):
        talk = server.talk()
        pid = talk.pid()
        served[pid] = served.get(pid, 0) + 1
        talk.close()
        server.until(lambda: server.connections() == 0)
    assert max(served.values()) <= 3
    server.tcpd.stop()
    assert b"ended" not in server.tcpd.log
