"""Every transcript: the server in a forked child, and the whole chain over TCP; some as a program on a socket."""

import base64
import os
import socket
import subprocess
import time
import traceback
from pathlib import Path

import pytest
from chain import Account

from tests.transcripts import maildirs
from tests.transcripts.transcript import Difference, Player, Step, Transcript

FOLDER = Path(__file__).parent
TRANSCRIPTS = [Transcript(path) for path in sorted(FOLDER.glob("*.txt"))]
AFTER_LOGIN = [transcript for transcript in TRANSCRIPTS if transcript.begins == "login"]
# As programs only those by which they can differ from the same code in a child: how they end.
PROGRAMS = list({(transcript.protocol, transcript.exits): transcript for transcript in AFTER_LOGIN}.values())

SETTINGS = {"TZ": "UTC"}
SECONDS = 120

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def named(transcript):
    return transcript.path.stem


def make_maildir(transcript, home):
    maildirs.BUILDERS[transcript.maildir](home / "Maildir")
    return home / "Maildir"


def environment(transcript):
    return {**SETTINGS, "PATH": "/usr/bin:/bin", "AUTHENTICATED": "kim", **transcript.settings}


def check(log):
    """Whatever was sent, no stage may have fallen over it."""
    assert "Traceback" not in log, log
    assert "internal error" not in log, log


def play_preauthenticated(transcript, connection, maildir):
    connection.settimeout(SECONDS)
    player = Player(transcript, connection, maildir, {"user": "kim"})
    greeting = {"imap": r"\* PREAUTH Ready\.", "pop3": r"\+OK logged in\."}[transcript.protocol]
    player.expect_line(Step(0, "S~", greeting), greeting)
    player.play()


@pytest.mark.parametrize("transcript", AFTER_LOGIN, ids=named)
def test_in_process(transcript, tmp_path):
    play_in_process(transcript, tmp_path, environment(transcript))


@pytest.mark.parametrize("transcript", [one for one in AFTER_LOGIN if named(one).startswith("search-")], ids=named)
def test_with_an_index_of_the_texts(transcript, tmp_path):
    """The same is found."""
    play_in_process(transcript, tmp_path, {**environment(transcript), "IMAP_FTS": "1"})
    assert (tmp_path / "Maildir" / "courierimapfulltext").exists()


def play_in_process(transcript, tmp_path, settings):
    maildir = make_maildir(transcript, tmp_path)
    log = tmp_path / "log"
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        serve(theirs, log, settings, tmp_path, transcript.protocol)
    theirs.close()
    with ours:
        try:
            play_preauthenticated(transcript, ours, maildir)
        except Difference as difference:
            raise Difference(f"{difference}\n\nlog:\n{log.read_text()}") from None
        finally:
            ours.close()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == transcript.exits, log.read_text()
    check(log.read_text())


def serve(connection, log, settings, home, protocol):
    """Be imapd or pop3d, in the child, for the one connection."""
    status = 70
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(connection.fileno(), 0)
        os.dup2(connection.fileno(), 1)
        os.closerange(3, 4096)
        os.environ.clear()  # noqa: TID251
        os.environ.update(settings)  # noqa: TID251
        time.tzset()
        os.chdir(home)
        from imapd.main import main as imapd
        from pop3d.main import main as pop3d

        status = {"imap": imapd, "pop3": pop3d}[protocol](["server", "./Maildir"])
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


@pytest.mark.parametrize("transcript", PROGRAMS, ids=named)
def test_as_a_program(transcript, tmp_path, installed_tree):
    maildir = make_maildir(transcript, tmp_path)
    log = tmp_path / "log"
    ours, theirs = socket.socketpair()
    with ours, log.open("wb") as errors:
        with theirs:
            process = subprocess.Popen(
                [installed_tree.bin / f"{transcript.protocol}d", "./Maildir"],
                stdin=theirs,
                stdout=theirs,
                stderr=errors,
                cwd=tmp_path,
                env=environment(transcript),
            )
        try:
            play_preauthenticated(transcript, ours, maildir)
            assert process.wait(SECONDS) == transcript.exits, log.read_text()
        except Difference as difference:
            raise Difference(f"{difference}\n\nlog:\n{log.read_text()}") from None
        finally:
            process.kill()
            process.wait()
    check(log.read_text())


class ChainPlayer(Player):
    """Files that tests put into a Maildir belong to its account."""

    account: Account

    def changed(self):
        """Give away what an action has made."""
        self.account.own()


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=named)
def test_through_the_chain(transcript, chain):
    account = chain.account("transcripts")
    account.empty()
    maildir = make_maildir(transcript, account.home)
    account.own()
    logged = len(chain.log_text())
    listener = chain.listener(protocol=transcript.protocol, **SETTINGS, **transcript.settings)
    with listener.connect() as connection:
        connection.settimeout(SECONDS)
        player = ChainPlayer(transcript, connection, maildir, variables(account))
        player.account = account
        try:
            if transcript.begins == "login":
                LOG_IN[transcript.protocol](player, account)
            player.play()
        except Difference as difference:
            raise Difference(f"{difference}\n\nlog:\n{chain.log_text()[logged:]}") from None
    check(chain.log_text()[logged:])


def variables(account):
    plain = base64.b64encode(f"\0{account.name}\0{account.password}".encode()).decode()
    return {"user": account.name, "password": account.password, "plain": plain}


def log_in(player, account):
    player.expect_line(Step(0, "S~", "greeting"), r"\* OK \[CAPABILITY .*\] Courier-IMAP ready\. .*")
    player.send(f"login LOGIN {account.name} {account.password}\r\n".encode())
    player.expect_line(Step(0, "S:", "login OK LOGIN Ok."), r"login OK LOGIN Ok\.")


def log_in_by_pop3(player, account):
    player.expect_line(Step(0, "S:", "+OK Hello there."), r"\+OK Hello there\.")
    player.send(f"USER {account.name}\r\n".encode())
    player.expect_line(Step(0, "S:", "+OK Password required."), r"\+OK Password required\.")
    player.send(f"PASS {account.password}\r\n".encode())
    player.expect_line(Step(0, "S:", "+OK logged in."), r"\+OK logged in\.")


LOG_IN = {"imap": log_in, "pop3": log_in_by_pop3}


def test_there_are_transcripts():
    assert AFTER_LOGIN
    assert len(AFTER_LOGIN) < len(TRANSCRIPTS)
