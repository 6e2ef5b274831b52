"""SEARCH BODY and TEXT find the same with a full-text index as without, whatever is in it and whatever happens."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from imapd.search import matching
from imapd.textfilling import TextFilling
from imapd.view import View
from maildir import bodytext, fulltext
from maildir.folder import Folder
from maildir.message import Message
from tests.corpus import generate

COUNT = 60


@pytest.fixture(scope="module")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAP_FTS", "1")
        patch.setenv("IMAP_FSYNC", "0")
        maildir = tmp_path_factory.mktemp("fulltext") / "Maildir"
        generate.fill(maildir, COUNT, seed=5, max_octets=20_000)
        yield maildir


def opened(maildir: Path) -> View:
    folder = Folder(os.fsencode(maildir))
    return View(b"INBOX", b".", folder, folder.scan(), read_only=True)


def by_scan(view: View, key: bytes, text: str) -> list[int]:
    """What is found without the index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAP_FTS", "0")
        return matching(view, None, (key, text.encode("utf-8", "surrogatepass")))


@pytest.fixture(scope="module")
def filled(maildir: Path) -> Iterator[View]:
    view = opened(maildir)
    filling = TextFilling(view, thorough=True)
    for _ in filling.steps():
        pass
    assert filling.looked_at == COUNT
    yield view
    view.close()


def _needles(maildir: Path) -> str:
    """All texts of the folder, to cut needles from."""
    found = []
    for path in sorted(maildir.glob("[cn][ue][rw]/*")):
        found += bodytext.texts(Message(path.read_bytes()), with_headers=True)
    return "\n".join(found)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.data(), some.sampled_from([b"BODY", b"TEXT"]))
def test_any_part_of_any_text_is_found(filled: View, maildir: Path, data: some.DataObject, key: bytes) -> None:
    whole = _WHOLE.setdefault(maildir, _needles(maildir))
    start = data.draw(some.integers(0, len(whole)))
    needle = whole[start : start + data.draw(some.integers(0, 90))]
    if data.draw(some.booleans()):
        needle = needle.swapcase()
    if "\ufffd" in needle or any("\ud800" <= sign <= "\udfff" for sign in needle):
        return
    assert matching(filled, None, (key, needle.encode())) == by_scan(filled, key, needle)


_WHOLE: dict[Path, str] = {}

_WORDS = ["kitchen", "garden", "a b", "stra\u00dfe", "\u4e2d\u6587\u5b57", "xyz", 'q"q', "n\0n", "k", "letter " * 12]


class Changes(RuleBasedStateMachine):
    """Messages come, go, are renamed and take the uids of others, while sessions fill and ask."""

    @initialize(few=some.integers(0, 3))
    def begin(self, few: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("IMAP_FTS", "1")
        self.patch.setenv("IMAP_FSYNC", "0")
        self.patch.setattr(fulltext, "_FEW_LEFT_BEHIND", few)
        self.directory = Path(tempfile.mkdtemp(prefix="fulltext-"))
        for name in ("cur", "new", "tmp"):
            (self.directory / name).mkdir()
        self.count = 0
        self.views = [opened(self.directory), opened(self.directory)]

    def teardown(self) -> None:
        for view in self.views:
            view.close()
        self.patch.undo()
        shutil.rmtree(self.directory)

    @rule(words=some.lists(some.sampled_from(_WORDS), max_size=3), subject=some.sampled_from(_WORDS))
    def deliver(self, words: list[str], subject: str) -> None:
        self.count += 1
        text = f"Subject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n" + " ".join(words)
        (self.directory / "new" / f"{self.count}.host").write_bytes(text.encode())

    @rule(which=some.integers(0, 20), change=some.sampled_from(["remove", "flag", "replace"]))
    def change(self, which: int, change: str) -> None:
        paths = sorted((self.directory / "cur").iterdir())
        if not paths:
            return
        path = paths[which % len(paths)]
        if change == "remove":
            path.unlink()
        elif change == "flag":
            path.rename(path.with_name(path.name + "S" if not path.name.endswith("S") else path.name[:-1]))
        else:  # the uid list is written by somebody who gives the uid to another message
            self.count += 1
            base, new = path.name.partition(":")[0], f"{self.count}.host"
            path.unlink()
            (self.directory / "cur" / f"{new}:2,").write_bytes(b"Subject: xyz\n\nkitchen xyz")
            uid_list = self.directory / "courierimapuiddb"
            if uid_list.exists():
                uid_list.write_text(uid_list.read_text().replace(f" {base}\n", f" {new}\n"))

    @rule(session=some.integers(0, 1))
    def look_again(self, session: int) -> None:
        for _ in self.views[session].changes():
            pass

    @rule()
    def lose_the_uids(self) -> None:
        (self.directory / "courierimapuiddb").unlink(missing_ok=True)

    @rule(session=some.integers(0, 1))
    def open_anew(self, session: int) -> None:
        self.views[session].close()
        self.views[session] = opened(self.directory)

    @rule(session=some.integers(0, 1), thorough=some.booleans())
    def fill(self, session: int, thorough: bool) -> None:
        for _ in TextFilling(self.views[session], thorough).steps():
            pass

    @rule(
        session=some.integers(0, 1),
        key=some.sampled_from([b"BODY", b"TEXT"]),
        text=some.sampled_from([*_WORDS, "gard"]),
    )
    def ask(self, session: int, key: bytes, text: str) -> None:
        view = self.views[session]
        assert matching(view, None, (key, text.encode())) == by_scan(view, key, text)

    @invariant()
    def there_is_nothing_to_complain_about(self) -> None:
        assert all(view.folder.full_text.wanted for view in getattr(self, "views", ()))


TestChanges = Changes.TestCase
TestChanges.settings = settings(deadline=None, max_examples=40, stateful_step_count=25)
