import os

import pytest

from imapd.mailbox import mailbox_of
from maildir import fs
from maildir.maildirmake import main


def run(*words):
    return main(["maildirmake", *map(str, words)])


@pytest.fixture
def old(disk):
    """A maildir with folders of either kind."""

    def make(*folders, subscribed=None):
        for folder in folders:
            for part in ("cur", "new", "tmp"):
                (disk.path / folder / part).mkdir(parents=True)
            (disk.path / folder / "courierimapuiddb").write_text(f"1 5 1\n1 {folder}\n")
        if subscribed is not None:
            (disk.path / "courierimapsubscribed").write_text("".join(name + "\n" for name in subscribed))
        return disk.path

    return make


def folders(root):
    return sorted(name for name in os.listdir(root) if name.startswith("."))


PRINTED = """\
Checking {0}:
Subscription to INBOX.R&AOk-p changed to INBOX.Rép
Subscription to inbox.gone&AOk- changed to inbox.goneé
Rename INBOX.R&AOk-p to INBOX.Rép
Rename INBOX.R&AOk-p.x&AOk- to INBOX.Rép.xé
Rename INBOX.R&AOk-p.&- to INBOX.Rép.&
"""


def test_conversion(old, capfd):
    names = [".Plain", ".R&AOk-p", ".R&AOk-p.x&AOk-", ".R&AOk-p.&-", ".déjà"]
    root = old(
        *names, subscribed=["INBOX.R&AOk-p", "INBOX.Plain", "inbox.gone&AOk-", "INBOX.b & ad", "INBOX", "INBOX.é"]
    )
    before = (folders(root), (root / "courierimapsubscribed").read_bytes())
    assert run("--checkutf8", f"{root}/") == 0
    assert capfd.readouterr().out == PRINTED.format(root) + f"Verified {root}/courierimapsubscribed\n"
    assert (folders(root), (root / "courierimapsubscribed").read_bytes()) == before

    assert run("--convutf8", root) == 0
    assert capfd.readouterr().out == PRINTED.format(root) + f"Updating {root}/courierimapsubscribed\n"
    assert folders(root) == [".Plain", ".Rép", ".Rép.&", ".Rép.xé", ".déjà"]
    assert (root / ".Rép.xé/courierimapuiddb").read_text() == "1 5 1\n1 .R&AOk-p.x&AOk-\n"
    assert (root / "courierimapsubscribed").read_text().splitlines() == [
        "INBOX.Rép", "INBOX.Plain", "inbox.goneé", "INBOX.b & ad", "INBOX", "INBOX.é",
    ]  # fmt: skip


def test_clients_see_the_same_names(old):
    root = old(".R&AOk-p", ".R&AOk-p.&U,BTFw-", ".a", ".&2D3eAA-")
    before = {mailbox_of(os.fsencode(name)) for name in folders(root)}
    assert run("--convutf8", root) == 0
    assert folders(root) == [".Rép", ".Rép.台北", ".a", ".😀"]
    assert {mailbox_of(os.fsencode(name)) for name in folders(root)} == before


def test_below_an_old_folder_of_a_new_server(old):
    """The original since 5.0 makes the lower levels in UTF-8."""
    root = old(".R&AOk-p", ".R&AOk-p.é", ".R&AOk-p.é.a & b")
    assert run("--convutf8", root) == 0
    assert folders(root) == [".Rép", ".Rép.é", ".Rép.é.a & b"]


def test_a_second_run_changes_nothing(old, capfd):
    root = old(".R&AOk-p")
    for _ in range(2):
        assert run("--convutf8", root) == 0
    assert folders(root) == [".Rép"]
    assert (root / "courierimapsubscribed").read_bytes() == b""
    assert capfd.readouterr().out.count("Rename") == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([".b & d"], "INBOX.b & d: does not appear to be valid modified-UTF7"),
        ([".b&AOk"], "INBOX.b&AOk: does not appear to be valid modified-UTF7"),
        ([".b&A-"], "INBOX.b&A-: does not appear to be valid modified-UTF7"),
        ([".b&2D0-"], "INBOX.b&2D0-: does not appear to be valid modified-UTF7"),  # half of a pair
        ([".b&AC4-c"], "INBOX.b&AC4-c: does not appear to be valid modified-UTF7"),  # a dot
        ([".b&AC8-c"], "INBOX.b&AC8-c: does not appear to be valid modified-UTF7"),  # a slash
        ([".b&AAA-"], "INBOX.b&AAA-: does not appear to be valid modified-UTF7"),
        ([".z&AOk-", ".zé"], "INBOX.z&AOk-: cannot be renamed: INBOX.zé exists"),
        ([".z&AGE-", ".z&AGEAYQ-", ".za", ".zaa"], "INBOX.z&AGE-: cannot be renamed: INBOX.za exists"),
        ([".z&AOkA6Q-", ".z&AOk-&AOk-"], "is the new name of INBOX.z&AOk-&AOk- too"),
        ([".&" + "TgBOAE4A" * 31 + "-"], "has more than 255 bytes"),
    ],
)
def test_refused(old, capfd, names, said):
    root = old(*names, ".R&AOk-p", subscribed=["INBOX.R&AOk-p"])
    before = folders(root)
    for option in ("--checkutf8", "--convutf8"):
        assert run(option, root) == 1
        err = capfd.readouterr().err
        assert err.startswith("Error: INBOX.")
        assert said in err
        assert "nothing has been changed" in err
    assert folders(root) == before
    assert (root / "courierimapsubscribed").read_text() == "INBOX.R&AOk-p\n"


def test_all_or_none(old, capfd, monkeypatch):
    root = old(".a&AOk-", ".b&AOk-", subscribed=["INBOX.a&AOk-"])
    rename = fs.rename

    def failing(source, target):
        if b".b&" in source:
            raise OSError(28, "No space left on device", target)
        rename(source, target)

    monkeypatch.setattr(fs, "rename", failing)
    assert run("--convutf8", root) == 1
    assert "No space left on device" in capfd.readouterr().err
    assert folders(root) == [".a&AOk-", ".b&AOk-"]
    assert (root / "courierimapsubscribed").read_text() == "INBOX.a&AOk-\n"


def test_what_goes_last_can_be_gone_on_with(old, monkeypatch):
    """After a power failure: names with "&" are renamed behind all others."""
    root = old(".a&AOk-", ".&-z")
    done = []
    monkeypatch.setattr(fs, "rename", lambda source, target: done.append(target))
    assert run("--convutf8", root) == 0
    assert [os.path.basename(name) for name in done[:2]] == [os.fsencode(".aé"), b".&z"]


def test_usage(old, tmp_path, capfd):
    root = old()
    assert run("--convutf8", tmp_path) == 1
    assert "not a maildir" in capfd.readouterr().err
    assert run("--convutf8", root, ".mailfilter") == 2
    assert "edit it by hand" in capfd.readouterr().err
    assert run("--checkutf8", "-f", "x", root) == 2
    assert "does not go together" in capfd.readouterr().err
    assert run(root / "x", "y") == 2
    assert "unrecognized arguments: y" in capfd.readouterr().err
