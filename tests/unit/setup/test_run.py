"""`make run`: serves the demo account, and leaves nothing behind."""

import imaplib
import os
import poplib
import re
import select
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SOURCE

from couriertcpd import environ

SECONDS = 60


def output_until(demo: "subprocess.Popen[bytes]", last: bytes) -> bytes:
    """What the demo has printed when that text has come."""
    assert demo.stdout is not None
    text, deadline = b"", time.monotonic() + SECONDS
    while last not in text:
        ready, _, _ = select.select([demo.stdout], [], [], max(0.0, deadline - time.monotonic()))
        octets = os.read(demo.stdout.fileno(), 65536) if ready else b""
        assert octets, f"the demo ended, or printed no more:\n{text.decode()}"
        text += octets
    return text


def processes_of(tree: str) -> list[str]:
    """The command lines that name a path in the tree."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        if tree in line:
            found.append(line)
    return found


def uids_of(tree: str) -> set[int]:
    """Who runs bin/imapd of the tree."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{tree}/bin/imapd" in path.read_bytes().decode(errors="replace").split("\0")[:3]:
                found.add(path.parent.stat().st_uid)
        except OSError:
            continue
    return found


def messages_by_pop3(text: str, password: str) -> int:
    """Log in over TLS, and by POP3 without, with STLS and on its encrypted port; how many messages that tells."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    pop3, pop3s = map(int, re.search(r"POP3 +port (\d+) on 127.0.0.1, and (\d+) for TLS", text).groups())
    imaps = int(re.search(r"IMAP +port \d+ on 127.0.0.1, and (\d+) for TLS", text)[1])
    with imaplib.IMAP4_SSL("127.0.0.1", imaps, ssl_context=anybody, timeout=SECONDS) as client:
        client.login("demo@example.com", password)
    counts = set()
    for how in ("plain", "stls", "tls"):
        if how == "tls":
            drop: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", pop3s, context=anybody, timeout=SECONDS)
        else:
            drop = poplib.POP3("127.0.0.1", pop3, timeout=SECONDS)
        if how == "stls":
            drop.stls(anybody)
        drop.user("demo@example.com")
        drop.pass_(password)
        counts.add(drop.stat()[0])
        drop.quit()
    (count,) = counts
    return count


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for the demo that every account can enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_the_demo_serves_and_ends_cleanly(place, how):
    environment = {
        name: value for name, value in environ.everything().items() if not name.startswith((b"MAKE", b"MFLAGS"))
    }
    demo = subprocess.Popen(
        ["make", "run"],
        cwd=SOURCE,
        env={**environment, b"DEMO_PORT": b"21143", b"TMPDIR": os.fsencode(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    try:
        text = output_until(demo, b"Ctrl-C ends it").decode()
        port = int(re.search(r"IMAP +port (\d+)", text)[1])
        password = re.search(r"password +(\S+)", text)[1]
        assert f'curl -s "imap://127.0.0.1:{port}/INBOX;MAILINDEX=1" -u demo@example.com:{password}\n' in text

        client = imaplib.IMAP4("127.0.0.1", port, timeout=SECONDS)
        client.login("demo@example.com", password)
        assert client.select("INBOX") == ("OK", [b"36"])
        octets = client.fetch("1", "(BODY.PEEK[])")[1][0][1]
        assert b"\r\n\r\n" in octets
        assert messages_by_pop3(text, password) == 36
        (tree,) = map(str, place.iterdir())
        assert 0 not in uids_of(tree)
        assert len(uids_of(tree)) == 1

        # The terminal's key goes to all processes; a signal of kill(1) to make.
        if how == "Ctrl-C":
            os.killpg(demo.pid, signal.SIGINT)
        else:
            demo.terminate()
        rest, _ = demo.communicate(timeout=SECONDS)
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.communicate(timeout=SECONDS)
    assert "The demo has ended; nothing of it is left." in rest.decode()
    assert "Traceback" not in rest.decode()
    assert not os.path.exists(tree)
    assert processes_of(tree) == []
