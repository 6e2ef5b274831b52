"""A chain of two small stages behind a real listener, in the prefork form: hand-over and limits."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from couriertcpd import environ
from tests import tinystages
from tests.unit.couriertcpd.preforked import SECONDS, Talk, is_ready

PROJECT = Path(__file__).parents[3]


def test_both_stages_run_in_processes_that_have_waited(serve) -> None:
    server = serve()
    talk = server.talk("127.0.0.7")
    assert [talk.ask("how"), talk.ask("word"), talk.ask("env TCPREMOTEIP")] == ["spare", "first", "::ffff:127.0.0.7"]
    assert int(talk.ask("ppid")) == server.first().pid
    before = talk.pid()
    talk.go_on()
    assert [talk.ask("how"), talk.ask("env TCPREMOTEIP")] == ["spare", "::ffff:127.0.0.7"]
    assert int(talk.ask("ppid")) == server.second().pid
    assert talk.pid() != before
    assert talk.ask("argv").endswith("second.stage', 'Maildir']")
    talk.ask("leave")
    server.until(lambda: server.connections() == 0)


def test_main_cannot_tell_how_it_was_started(serve, start, tmp_path: Path) -> None:
    told = {**environ.everything(), b"COURIER_REUSE": b"0", b"COURIER_MODULE": b"x", b"TZ": b"UTC"}
    preforked = serve(env=told).talk()
    execed = Talk(start(program=tinystages.make(tmp_path), env=told).connect().socket)
    for stage in ("first", "second"):
        assert preforked.ask("how") == "spare"
        assert execed.ask("how") == "exec"
        for question in ("envs", "argv", "word", "env TZ"):
            assert preforked.ask(question) == execed.ask(question)
        assert "COURIER_FORKSERVER" not in preforked.ask("envs")
        inherited = [word for word in preforked.ask("fds").split() if word.endswith("+")]
        assert inherited == [word for word in execed.ask("fds").split() if word.endswith("+")]
        assert inherited == ["0+", "1+", "2+", "3+"]
        if stage == "first":
            preforked.go_on()
            execed.go_on()


def test_no_process_has_a_descriptor_of_another(serve) -> None:
    server = serve("-maxspare=8")
    talks = [server.talk(f"127.0.0.{last}") for last in range(1, 9)]
    for talk in talks:
        assert talk.ask("how") == "spare"
    # The client, the log, the slot, the way to the next stage, the fork server's log, and the one that lists them.
    assert {talk.ask("fds") for talk in talks} == {"0+ 1+ 2+ 3+ 4- 9-"}
    for talk in talks:
        talk.go_on()
    assert {talk.ask("fds") for talk in talks} == {"0+ 1+ 2+ 3+ 9-"}
    assert server.connections() == 8
    for left, talk in enumerate(talks, 1):
        talk.close()
        server.until(lambda left=left: server.connections() == 8 - left)


def test_what_would_be_the_same_in_every_child_is_not(serve) -> None:
    server = serve()
    assert len({server.talk().ask("random") for _ in range(6)}) == 6


def test_who_is_waited_for_does_not_rehearse(serve) -> None:
    server = serve("-maxspare=2")
    fork_server = server.first()
    server.until(lambda: list(map(is_ready, server.spares(fork_server))) == [True, True])
    fork_server.suspend()
    waiting = [server.talk(), server.talk()]
    assert [talk.ask("rehearsed") for talk in waiting] == ["True", "True"]
    called = server.talk()
    server.until(lambda: server.connections() == 3)
    fork_server.resume()
    assert called.ask("rehearsed") == "False"


def test_an_unexpected_error_is_a_line_without_its_text(serve) -> None:
    server = serve()
    talk = server.talk()
    assert talk.ask("fail") == ""
    server.tcpd.expect("ERR: first: internal error: ValueError at ")
    server.until(lambda: server.connections() == 0)
    assert server.talk().ask("how") == "spare"
    assert b"a secret" not in server.tcpd.log


def test_the_limit_for_an_address_is_exact(serve) -> None:
    server = serve("-maxperip=3")
    talks = [server.talk() for _ in range(3)]
    assert [talk.ask("how") for talk in talks] == ["spare"] * 3
    assert server.talk().ends()
    talks[0].go_on()
    assert server.talk().ends()
    talks[0].close()
    server.until(lambda: server.connections() == 2)
    assert server.talk().ask("word") == "first"


def test_a_burst_is_served_whole(serve) -> None:
    server = serve("-maxprocs=60", "-maxperip=60")
    talks = [server.talk() for _ in range(60)]
    assert {talk.ask("word") for talk in talks} == {"first"}
    assert server.connections() == 60


def test_a_program_that_is_not_ours_is_execed(start, tmp_path: Path) -> None:
    tcpd = start("-prefork=2")
    assert tcpd.connect().echoes()
    assert [child.name() for child in tcpd.children()] == ["cat"]


def test_a_foreign_program_after_the_first_stage_is_execed(serve, tmp_path: Path) -> None:
    chain = tinystages.make(tmp_path)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nWRAPPED=yes\nexport WRAPPED\nexec "$@"\n')
    wrapper.chmod(0o755)
    talk = serve(program=(chain[0], str(wrapper), *chain[1:])).talk()
    assert talk.ask("how") == "spare"
    talk.go_on()
    assert (talk.ask("how"), talk.ask("env WRAPPED")) == ("exec", "yes")


def test_names_are_looked_up_before_the_connection_is_handed_on(serve, start, tmp_path: Path) -> None:
    try:
        expected = socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)[0]
    except socket.gaierror:
        pytest.skip("127.0.0.1 has no name here")
    port = free_port()
    tcpd = start("-prefork=2", f"127.0.0.1.{port}", *tinystages.make(tmp_path))  # the rest are the program's words
    tcpd.port = port
    deadline = time.monotonic() + SECONDS
    how = ""
    while how != "spare":
        assert time.monotonic() < deadline
        talk = Talk(tcpd.connect().socket)
        how = talk.ask("how")
        assert talk.ask("env TCPREMOTEHOST") == expected
        assert talk.ask("env RES_OPTIONS") == "unset"
        talk.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_stderr_to_the_client(serve, tmp_path: Path) -> None:
    server = serve("-stderr=socket", cwd=tmp_path, env={**environ.everything(), b"PYTHONPATH": os.fsencode(PROJECT)})
    talk = server.talk()
    assert talk.ask("fail").startswith("ERR: first: internal error: ValueError at ")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_an_ordinary_user(serve, tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents):
        if not any(part.startswith("pytest-of-") for part in place.parts):
            break
        place.chmod(0o755)
    server = serve("-user=nobody")
    talk = server.talk()
    talk.go_on()
    assert psutil.Process(talk.pid()).username() == "nobody"
