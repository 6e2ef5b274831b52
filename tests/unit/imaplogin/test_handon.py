"""Which programs come after the login stage, and the home directory that is made."""

from pathlib import Path

import pytest

from authdaemond import arrival
from couriertcpd import environ
from imaplogin import handon


@pytest.mark.parametrize(
    ("operands", "stages"),
    [
        (["imapd", "Maildir"], ["imapd", "Maildir"]),
        (["/x/authlib/authdaemon", "/x/bin/imapd", "Maildir"], ["/x/bin/imapd", "Maildir"]),
        (["authcram", "authuserdb", "imapd", "./Maildir"], ["imapd", "./Maildir"]),
        (["/local/wrapper", "imapd", "Maildir"], ["/local/wrapper", "imapd", "Maildir"]),
        (["authuserdb", "Maildir"], ["authuserdb", "Maildir"]),
        (["imapd"], None),
        ([], None),
    ],
)
def test_stages_from_operands(operands: list[str], stages: list[str] | None) -> None:
    assert handon.next_stages(operands) == stages


def test_a_home_is_made_from_the_skeleton_once(tmp_path: Path) -> None:
    skeleton = tmp_path / "skel"
    (skeleton / "Maildir" / "cur").mkdir(parents=True)
    (skeleton / "greeting").write_text("hello")
    home = tmp_path / "home"
    environ.put("AUTH_MKHOMEDIR_SKEL", str(skeleton))
    try:
        arrival.make_home(bytes(home), home.parent.stat().st_uid, home.parent.stat().st_gid)
        assert (home / "greeting").read_text() == "hello"
        (home / "greeting").unlink()
        arrival.make_home(bytes(home), home.stat().st_uid, home.stat().st_gid)
        assert not (home / "greeting").exists()
    finally:
        environ.drop("AUTH_MKHOMEDIR_SKEL")
