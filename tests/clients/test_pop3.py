"""POP3 clients: what they fetch is what lies on the disk, and they know again what they have had."""

from __future__ import annotations

import poplib
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chain import Chain

from tests.clients import getmail
from tests.clients.box import Box, letter

COUNT = 30


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    """Letters with dots, long lines and UTF-8 in their bodies."""
    box = Box(chain, "pop3-clients@example.com")
    for number in range(COUNT):
        box.deliver(letter(f"number {number}", ".", "..two", "Grüße " * number, "x" * 900, "From here"))
    yield box
    box.account.empty()


def port(box: Box) -> int:
    return box.chain.listener(protocol="pop3").port


def run(box: Box, *argv: str, statuses: tuple[int, ...] = (0,), given: str = "") -> str:
    """Run a client as the account."""
    done = subprocess.run(argv, input=given, capture_output=True, timeout=60, text=True, **box.identity())
    assert done.returncode in statuses, (done.returncode, done.stdout[-1000:], done.stderr[-1000:])
    return done.stdout


def private(box: Box, name: str, text: str) -> str:
    """A file in the account's home that nobody else may read."""
    path = box.account.home / name
    path.write_text(text)
    path.chmod(0o600)
    box.account.own()
    return str(path)


def taken(place: Path) -> Counter[bytes]:
    """What follows the header of each file: clients add lines to the header."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return Counter(path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n") for path in files)


def there(box: Box) -> Counter[bytes]:
    return Counter(content.partition(b"\n\n")[2].rstrip(b"\n") for content in box.contents())


def test_poplib(box: Box) -> None:
    pop = poplib.POP3("127.0.0.1", port(box), timeout=120)
    assert pop.capa()["IMPLEMENTATION"] == ["Courier", "Mail", "Server"]
    pop.user(box.account.name)
    pop.pass_(box.account.password)
    count, octets = pop.stat()
    assert count == COUNT
    assert octets == sum(int(line.split()[1]) for line in pop.list()[1])
    got = [b"\n".join(pop.retr(number)[1]) + b"\n" for number in range(1, count + 1)]
    assert sorted(got) == box.contents()
    assert len({line.split()[1] for line in pop.uidl()[1]}) == COUNT
    pop.dele(1)
    pop.rset()
    pop.dele(2)
    pop.quit()
    assert len(box.messages()) == COUNT - 1


def test_curl(box: Box, program: Callable[[str], str]) -> None:
    user = f"{box.account.name}:{box.account.password}"
    fetch = [program("curl"), "-sS", "--max-time", "50", "-u", user]
    base = f"pop3://127.0.0.1:{port(box)}/"
    assert len(run(box, *fetch, base).splitlines()) == COUNT
    assert len(run(box, *fetch, "-X", "UIDL", base).splitlines()) == COUNT
    assert "Subject: number 0" in run(box, *fetch, base + "1")
    run(box, *fetch, "-X", "DELE", "-I", base + "1")
    assert len(box.messages()) == COUNT - 1


def test_fetchmail(box: Box, program: Callable[[str], str]) -> None:
    place = box.account.home / "fetched"
    place.mkdir()
    agent = box.account.home / "agent"
    agent.write_text(f'#!/bin/sh\nexec cat >"{place}/$$"\n')
    agent.chmod(0o755)
    rc = private(
        box,
        "fetchmailrc",
        f"set no bouncemail\nset invisible\npoll 127.0.0.1 service {port(box)} protocol POP3 uidl auth password\n"
        f' username "{box.account.name}" password "{box.account.password}" mda "{agent}"\n'
        f" sslproto '' no rewrite no mimedecode pass8bits keep\n",
    )
    fetch = [program("fetchmail"), "-f", rc, "--nosyslog", "--pidfile", str(box.account.home / "pid")]
    run(box, *fetch)
    assert taken(place) == there(box)
    run(box, *fetch, statuses=(1,))  # no new mail: all ids are known
    box.deliver(letter("one more", "hello"))
    run(box, *fetch)
    assert taken(place) == there(box)
    assert len(list(place.iterdir())) == COUNT + 1


def test_getmail(box: Box, program: Callable[[str], str]) -> None:
    place = box.account.home / "getmail"
    for part in ("cur", "new", "tmp"):
        (place / part).mkdir(parents=True)
    rc = private(
        box,
        "getmailrc",
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port(box)}\n"
        f"username = {box.account.name}\npassword = {box.account.password}\n"
        f"{getmail.destination(box, place)}[options]\nread_all = false\ndelivered_to = false\n",
    )
    fetch = [program("getmail"), f"--getmaildir={box.account.home}", f"--rcfile={rc}"]
    run(box, *fetch)
    assert taken(place) == there(box)
    box.deliver(letter("one more", "hello"))
    run(box, *fetch)
    assert len(list((place / "new").iterdir())) == COUNT + 1


def test_mpop_pipelines(box: Box, program: Callable[[str], str]) -> None:
    place = box.account.home / "mpop"
    for part in ("cur", "new", "tmp"):
        (place / part).mkdir(parents=True)
    rc = private(
        box,
        "mpoprc",
        f"account default\nhost 127.0.0.1\nport {port(box)}\nuser {box.account.name}\npassword {box.account.password}\n"
        f"auth plain\ntls off\npipelining on\nkeep off\ndelivery maildir {place}\n"
        f"uidls_file {box.account.home}/uidls\nreceived_header off\n",
    )
    wanted = there(box)
    run(box, program("mpop"), f"--file={rc}", "--quiet", "--auth=user")
    assert taken(place) == wanted
    assert box.messages() == []
