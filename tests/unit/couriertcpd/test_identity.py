import grp
import os
import pwd

import pytest

from couriertcpd import identity
from couriertcpd.identity import Identity
from couriertcpd.switches import Misuse


def complaint(user: str | None, group: str | None) -> str:
    with pytest.raises(Misuse) as caught:
        identity.find(user, group)
    return str(caught.value)


def test_nothing_to_change() -> None:
    assert identity.find(None, None) == Identity()


def test_unknown_names() -> None:
    assert complaint(None, "no-such-group") == "Group not found: no-such-group"
    assert complaint("no-such-user", None) == "User not found: no-such-user"


def test_names_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody")
    assert identity.find("nobody", None) == Identity(nobody.pw_uid, nobody.pw_gid, "nobody")
    assert identity.find(str(nobody.pw_uid), None) == Identity(nobody.pw_uid, nobody.pw_gid)
    assert identity.find("nobody", "daemon") == Identity(nobody.pw_uid, grp.getgrnam("daemon").gr_gid, "nobody")
    assert identity.find("4000000", None) == Identity(4000000)
    assert identity.find(None, "77") == Identity(None, 77)


def test_without_root_only_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(os, "getegid", lambda: 54321)
    assert identity.find("12345", "54321") == Identity(12345, 54321)
    assert "not started by root" in complaint("12346", None)
    assert "not started by root" in complaint(None, "0")
