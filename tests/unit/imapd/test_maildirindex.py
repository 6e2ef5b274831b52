import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pytest

from couriertcpd import installed
from imapd.maildirindex import main
from maildir import columns, storedview
from tests.corpus import generate
from tests.forked import Forked, check_log
from tests.peers.programs import UID

MESSAGES = 130

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "Maildir"
    generate.fill(path, MESSAGES, seed=4, folders=True, max_octets=20_000)
    return path


@pytest.fixture
def maildir(model):
    """A maildir with folders, of somebody who is not root; outside pytest's folders, which other runs close."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        path = place / "Maildir"
        shutil.copytree(model, path)
        own(path)
        yield path


def own(path):
    for each in (path, *path.rglob("*")):
        os.lchown(each, UID, UID)


def run(*words, etc="/nowhere", **settings):
    """The program, in a forked child: it is quicker than an interpreter of its own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        child = os.fork()
        if child == 0:
            be_maildirindex(["maildirindex", *map(str, words)], (out, complaints), str(etc), settings)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told = []
        for file in (out, complaints):
            file.seek(0)
            told.append(file.read().decode())
    return subprocess.CompletedProcess(words, status, *told)


def be_maildirindex(argv, files, etc, settings):
    """In the child; does not return."""
    status = 70
    try:
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        os.environ.clear()  # noqa: TID251
        os.environ.update({"PATH": "/usr/bin:/bin", **settings})  # noqa: TID251
        time.tzset()
        installed.SYSCONFDIR = etc
        status = main(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def as_json(*words, status=0, **settings):
    done = run(*words, "--json", **settings)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_build_stats_check_drop(maildir):
    assert run("stats", maildir).stdout == "INBOX: no index\n"
    assert run("check", maildir).returncode == 0
    (built,) = as_json("build", maildir)
    assert built["messages"] == built["made"] == MESSAGES
    (again,) = as_json("build", maildir)
    assert again["made"] == 0

    (row,) = as_json("stats", maildir)
    kinds = {kind["name"]: kind["values"] for kind in row["kinds"]}
    assert kinds["ENVELOPE"] == kinds["~subject"] == kinds["base"] == MESSAGES
    assert row["octets"] == sum(path.stat().st_size for path in maildir.glob("courierimapindex*"))
    assert "ENVELOPE" in run("stats", maildir).stdout

    (checked,) = as_json("check", maildir)
    assert checked["wrong"] == 0
    assert checked["messages"] == MESSAGES
    assert checked["values"] > MESSAGES * 10
    assert checked["not_checked"] == []
    assert "all right" in run("check", maildir).stdout

    assert "dropped" in run("drop", maildir).stdout
    assert not list(maildir.glob("courierimapindex*"))
    assert run("drop", maildir).stdout == "INBOX: no index\n"


ASKED = (
    b"SELECT INBOX",
    b"FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)",
    b"FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILER)]",
    *(b"SORT (REVERSE %s) UTF-8 ALL" % key for key in b"ARRIVAL CC DATE FROM SIZE SUBJECT TO".split()),
    b"THREAD REFERENCES UTF-8 ALL",
    b"THREAD ORDEREDSUBJECT UTF-8 ALL",
    *(b"SEARCH %s ann" % key for key in b"SUBJECT FROM TO CC BCC".split()),
    b'SEARCH HEADER X-Mailer "x"',
    b"SEARCH SENTSINCE 1-Jan-2020",
    b"NOOP",
)


def test_all_that_sessions_remember_is_built_and_checked(maildir, tmp_path):
    (tmp_path / "log").touch()
    own(tmp_path / "log")
    with Forked(maildir, tmp_path / "log", identity=UID if os.geteuid() == 0 else None) as imapd:
        for command in ASKED:
            assert imapd.client.command(command)[-1].kind == b"OK"
    check_log(tmp_path / "log")
    (row,) = as_json("stats", maildir, TZ="UTC")
    asked = {kind["name"] for kind in row["kinds"]}
    assert len(asked) >= 20
    (checked,) = as_json("check", maildir, TZ="UTC")
    assert (checked["wrong"], checked["not_checked"]) == (0, [])
    run("drop", maildir)

    (built,) = as_json("build", maildir, TZ="UTC")
    assert built["made"] == MESSAGES
    (row,) = as_json("stats", maildir, TZ="UTC")
    filled = {kind["name"] for kind in row["kinds"] if kind["values"] == MESSAGES}
    assert {kind for kind in asked - filled if " " not in kind.replace("~internaldate ", "")} <= {"name"}

    with Forked(maildir, tmp_path / "log", identity=UID if os.geteuid() == 0 else None) as imapd:
        imapd.client.command(ASKED[0])
        imapd.client.command(b"FETCH 1:20 BODY.PEEK[HEADER.FIELDS (SUBJECT X-MAILER)]")  # a client's own list
    as_json("build", maildir, TZ="UTC")
    (row,) = as_json("stats", maildir, TZ="UTC")
    kinds = {kind["name"]: kind["values"] for kind in row["kinds"]}
    assert kinds['BODY[HEADER.FIELDS ("SUBJECT" "X-MAILER")]'] == MESSAGES


def test_dates_of_another_time_zone_are_not_checked(maildir):
    run("build", maildir, TZ="UTC")
    (checked,) = as_json("check", maildir, TZ="Asia/Kolkata")
    assert [name.partition(" ")[0] for name in checked["not_checked"]] == ["~internaldate"]
    assert checked["wrong"] == 0


def test_one_folder_or_all(maildir):
    assert [row["folder"] for row in as_json("build", "-f", "Archive.2023", maildir)] == ["Archive.2023"]
    assert (maildir / ".Archive.2023/courierimapindex").exists()
    assert not (maildir / "courierimapindex").exists()
    rows = as_json("build", "--all", maildir)
    assert {row["folder"] for row in rows} == {"INBOX", *(name[1:] for name in generate.FOLDERS)}
    assert sum(row["wrong"] for row in as_json("check", "--all", maildir)) == 0


@pytest.mark.root
def test_root_leaves_nothing_of_its_own(maildir):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert run("build", "--all", maildir).returncode == 0
    assert {path.lstat().st_uid for path in maildir.rglob("*")} == {UID}
    assert (maildir / "courierimapindex").stat().st_mode & 0o777 == 0o600


@pytest.mark.root
def test_mail_of_root_is_refused(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    generate.fill(tmp_path / "Maildir", 3, seed=4)
    done = run("build", tmp_path / "Maildir")
    assert done.returncode == 1
    assert "uid 0" in done.stderr


def change_value(maildir, kind, value):
    """Change what is remembered of uid 5, in a way that the index cannot notice."""
    connection = sqlite3.connect(maildir / "courierimapindex")
    (number,) = connection.execute("SELECT number FROM kind WHERE name = ?", (kind,)).fetchone()
    (octets,) = connection.execute("SELECT octets FROM block WHERE id = ?", (number << 32,)).fetchone()
    octets = columns.merge(octets, columns.seal(kind, 0), {5: value})
    connection.execute("UPDATE block SET octets = ? WHERE id = ?", (octets, number << 32))
    connection.commit()
    connection.close()
    own(maildir)


@pytest.mark.parametrize("kind", [b"ENVELOPE", b"RFC822.SIZE", b"~subject", b"INTERNALDATE"])
def test_what_is_wrong_is_found(maildir, kind):
    run("build", maildir)
    change_value(maildir, kind, b"1")
    (row,) = as_json("check", maildir, status=1)
    assert row["wrong"] == 1
    assert row["problems"][0].startswith(f"uid 5: {kind.decode()}: '1' is remembered, ")
    done = run("check", maildir)
    assert done.returncode == 1
    assert "maildirindex: INBOX: one value is wrong" in done.stderr


@pytest.mark.parametrize("place", ["index", "copy of the view"])
@pytest.mark.parametrize(("what", "said"), [(0, "list of uids"), (-1, "flags")])
def test_a_view_that_is_wrong_is_found(maildir, monkeypatch, place, what, said):
    """Written as a server with a mistake would write it."""
    run("build", maildir)
    for name in ("cur", "new", "courierimapuiddb"):
        os.utime(maildir / name, (1_700_000_000, 1_700_000_000))
    (maildir / "courierimapindex").unlink()
    run("build", maildir)
    assert as_json("check", maildir)[0]["wrong"] == 0
    connection = sqlite3.connect(maildir / "courierimapindex")
    marks, head, body = connection.execute("SELECT marks, head, body FROM view").fetchone()
    stored = storedview.whole(head, memoryview(body), marks)
    changed = bytearray(body)
    changed[what] ^= 1
    head = storedview.head_of(bytes(changed), stored, marks)
    if place == "index":
        connection.execute("UPDATE view SET head = ?, body = ?", (head, bytes(changed)))
        connection.commit()
    else:
        (maildir / "courierimapindex-view").write_bytes(head + changed)
    connection.close()
    problems = as_json("check", maildir, status=1)[0]["problems"]
    assert any(said in problem and place in problem for problem in problems)


def test_an_older_index_is_not_wrong(maildir):
    """It says of itself that it is of another time."""
    run("build", maildir)
    for path in list((maildir / "cur").iterdir())[:20]:
        path.unlink()
    (row,) = as_json("check", maildir)
    assert row["messages"] == MESSAGES - 20


def set_version(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 77")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"no database at all\n" * 999), "not a database"),
        (set_version, "version 77"),
        (lambda path: os.truncate(path, 40_000), ""),
    ],
)
def test_damaged(maildir, damage, words):
    run("build", maildir)
    damage(maildir / "courierimapindex")
    own(maildir)
    (row,) = as_json("check", maildir, status=1)
    assert words in row["problems"][0]
    as_json("build", maildir)
    assert as_json("check", maildir)[0]["wrong"] == 0


def test_check_and_stats_change_nothing(maildir):
    run("build", maildir)
    before = {path: path.read_bytes() for path in maildir.glob("courierimapindex")}
    run("check", maildir)
    run("stats", maildir)
    assert {path: path.read_bytes() for path in maildir.glob("courierimapindex")} == before


def test_elsewhere_as_the_configuration_says(maildir):
    elsewhere = maildir.parent / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o1777)
    (maildir.parent / "etc").mkdir()
    (maildir.parent / "etc/imapd").write_text(f"PORT=143\nIMAP_INDEX={elsewhere}\n")
    (row,) = as_json("build", maildir, etc=maildir.parent / "etc")
    assert not list(maildir.glob("courierimapindex*"))
    assert list(elsewhere.rglob("*"))
    (row,) = as_json("stats", maildir, etc=maildir.parent / "etc")
    assert row["index"].startswith(str(elsewhere))
    assert as_json("stats", maildir, etc=maildir.parent / "etc", IMAP_INDEX="on")[0]["index"] is None


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["build", "-f", "Nope", "DIR"], 1, "no folder Nope"),
        (["build", "DIR/cur"], 1, "not a maildir"),
        (["build", "DIR/nowhere"], 1, "No such file or directory"),
        (["build", "-f", "Sent", "--all", "DIR"], 2, "not allowed with"),
        (["rebuild", "DIR"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_errors_name_what_is_wrong(maildir, words, status, said):
    done = run(*[word.replace("DIR", str(maildir)) for word in words])
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_switched_off(maildir):
    done = run("build", maildir, IMAP_INDEX="off")
    assert done.returncode == 1
    assert "IMAP_INDEX" in done.stderr


FTS = {"IMAP_FTS": "1"}


def test_the_index_of_the_texts(maildir):
    (built,) = as_json("build", maildir, **FTS)
    assert built["texts"] == built["messages"] == MESSAGES
    assert as_json("build", maildir, **FTS)[0]["texts"] == 0
    path = maildir / "courierimapfulltext"
    assert path.stat().st_uid == UID
    assert path.stat().st_mode & 0o777 == 0o600
    (stats,) = as_json("stats", maildir)
    assert stats["texts"] == {
        "index": "./courierimapfulltext", "octets": path.stat().st_size, "messages": MESSAGES, "left_behind": 0,
    }  # fmt: skip
    (checked,) = as_json("check", maildir)
    assert (checked["texts"], checked["wrong"]) == (MESSAGES, 0)
    assert f"texts of {MESSAGES} messages, all right\n" in run("check", maildir).stdout
    (dropped,) = as_json("drop", maildir)
    assert dropped["texts"] == "./courierimapfulltext"
    assert not list(maildir.glob("courierimapfulltext*"))
    assert as_json("stats", maildir)[0]["texts"] is None


def test_without_the_setting_there_is_no_index_of_the_texts(maildir):
    assert as_json("build", maildir)[0]["texts"] == 0
    assert not (maildir / "courierimapfulltext").exists()


def test_texts_that_are_not_those_of_the_messages_are_found(maildir):
    as_json("build", maildir, **FTS)
    path = sorted((maildir / "cur").iterdir())[3]
    path.write_bytes(b"Subject: another\n\ntext\n")
    (checked,) = as_json("check", maildir, status=1)
    assert any("its texts are not those of the message" in problem for problem in checked["problems"])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM text_data WHERE id > 10",
        "UPDATE block SET octets = x'00'",
        "UPDATE meta SET value = 3 WHERE key = 'documents'",
        "DELETE FROM meta",
        "PRAGMA user_version = 9",
        "DROP TABLE block",
    ],
)
def test_a_damaged_index_of_the_texts_is_told_of(maildir, statement):
    as_json("build", maildir, **FTS)
    connection = sqlite3.connect(maildir / "courierimapfulltext")
    connection.execute(statement)
    connection.commit()
    connection.close()
    (checked,) = as_json("check", maildir, status=1)
    assert checked["wrong"] == 1
    assert checked["problems"][0].startswith("courierimapfulltext: ")
    done = run("check", maildir)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("maildirindex: INBOX: courierimapfulltext: ")


def test_the_index_of_the_texts_alone(maildir):
    as_json("build", maildir, **FTS)
    for path in maildir.glob("courierimapindex*"):
        path.unlink()
    assert run("check", maildir).stdout == f"INBOX: texts of {MESSAGES} messages, all right\n"
    assert f"texts of {MESSAGES} messages, and 0 left behind\n" in run("stats", maildir).stdout
    assert run("drop", maildir).stdout.startswith("INBOX: dropped, ")
