"""The rules by which a configuration file is brought up to date."""

import os
import stat
from pathlib import Path

import pytest

from couriertcpd.sysconftool import main, merge

DIST = """\
##VERSION: $Id: two $
#
# What it is.

##NAME: PORT:1
#
# Where to listen.
#

PORT=143

##NAME: LIMITS:0
#
# Two settings in one section.
#

MAXDAEMONS=40
MAXPERIP=4

##NAME: DEFDOMAIN:0
#
# DEFDOMAIN=@example.com

"""

OLD = """\
##VERSION: $Id: one $
#
# What it was.
OUTSIDE=1

##NAME: PORT:1
#
# Older words.
#

PORT=10143
MINE=yes

##NAME: LIMITS:9
#

MAXDAEMONS=100

##NAME: GONE:0
#

GONE=1
"""


def installed(folder: Path, dist: str = DIST, old: str | None = OLD) -> Path:
    path = folder / "imapd"
    dist_path = folder / "imapd.dist"
    dist_path.write_text(dist)
    dist_path.chmod(0o600)
    if old is not None:
        path.write_text(old)
    return path


def test_no_file_yet_is_the_dist_file_with_every_section_new(tmp_path, capsys):
    path = installed(tmp_path, old=None)
    assert main(["sysconftool", str(path)]) == 0
    assert path.read_text() == DIST
    assert capsys.readouterr().out == f"{path}:\n  PORT: new\n  LIMITS: new\n  DEFDOMAIN: new\n"
    assert sorted(os.listdir(tmp_path)) == ["imapd", "imapd.dist"]


def test_a_file_without_version_is_replaced_and_kept_as_bak(tmp_path):
    path = installed(tmp_path, old="PORT=99\n")
    assert main(["sysconftool", str(path)]) == 0
    assert path.read_text() == DIST
    assert (tmp_path / "imapd.bak").read_text() == "PORT=99\n"


def test_a_version_below_line_20_does_not_count(tmp_path):
    path = installed(tmp_path, old="#\n" * 20 + "##VERSION: $Id: two $\n")
    main(["sysconftool", str(path)])
    assert path.read_text() == DIST


def test_the_same_version_changes_nothing(tmp_path, capsys):
    old = OLD.replace("one", "two")
    path = installed(tmp_path, old=old)
    assert main(["sysconftool", str(path)]) == 0
    assert path.read_text() == old
    assert capsys.readouterr().out == ""


def test_force_goes_on_with_the_same_version(tmp_path):
    path = installed(tmp_path, old=OLD.replace("one", "two"))
    main(["sysconftool", "-f", str(path)])
    assert "Where to listen" in path.read_text()


def test_dry_run_reports_and_writes_nothing(tmp_path, capsys):
    path = installed(tmp_path)
    assert main(["sysconftool", "-n", str(path)]) == 0
    assert path.read_text() == OLD
    assert "  LIMITS: UPDATED\n" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["imapd", "imapd.dist"]


def test_sections_are_unchanged_updated_or_new():
    text, report = merge(DIST, OLD, "imapd.dist")
    assert report == [("PORT", "unchanged"), ("LIMITS", "UPDATED"), ("DEFDOMAIN", "new")]
    assert text == """\
##VERSION: $Id: two $
#
# What it is.

##NAME: PORT:1
#
# Where to listen.
#
#
# DEFAULT SETTING from imapd.dist:
#
#PORT=143
#

PORT=10143
MINE=yes

##NAME: LIMITS:0
#
# Two settings in one section.
#
#
# Previous setting (inserted by sysconftool):
#
#MAXDAEMONS=100
#

MAXDAEMONS=40
MAXPERIP=4

##NAME: DEFDOMAIN:0
#
# DEFDOMAIN=@example.com

"""


def test_a_second_run_changes_nothing_more():
    once, _ = merge(DIST, OLD, "imapd.dist")
    twice, report = merge(DIST, once, "imapd.dist")
    assert [outcome for _, outcome in report] == ["unchanged", "unchanged", "unchanged"]
    thrice, _ = merge(DIST, twice, "imapd.dist")
    assert thrice == twice
    assert "\nPORT=10143\nMINE=yes\n" in thrice


def test_a_default_that_the_administrator_uncommented_is_kept():
    old = DIST.replace("two", "one").replace("# DEFDOMAIN=@example.com", "DEFDOMAIN=@example.org\n# and why")
    text, _ = merge(DIST, old, "imapd.dist")
    assert text.endswith("# DEFDOMAIN=@example.com\nDEFDOMAIN=@example.org\n\n")


def test_a_setting_below_a_comment_of_the_administrator_is_kept():
    old = DIST.replace("two", "one").replace("PORT=143\n", "PORT=143\n\n# And one more.\nEXTRA=1\n")
    text, _ = merge(DIST, old, "imapd.dist")
    assert "\nEXTRA=1\n" in text
    assert "And one more" not in text


def test_the_old_file_stays_as_bak_and_owner_and_mode_are_those_of_dist(tmp_path):
    path = installed(tmp_path)
    path.chmod(0o644)
    assert main(["sysconftool", f"{path}.dist"]) == 0
    assert (tmp_path / "imapd.bak").read_text() == OLD
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_octets_that_are_not_utf_8_are_kept(tmp_path):
    path = installed(tmp_path)
    path.write_bytes(OLD.encode().replace(b"MINE=yes", b"MINE=M\xfcnchen"))
    main(["sysconftool", str(path)])
    assert b"\nMINE=M\xfcnchen\n" in path.read_bytes()


def test_a_dist_file_without_version_is_refused_with_status_9(tmp_path, capsys):
    path = installed(tmp_path, dist="PORT=143\n")
    assert main(["sysconftool", str(path)]) == 9
    assert path.read_text() == OLD
    assert "imapd.dist: no ##VERSION" in capsys.readouterr().err


def test_a_missing_dist_file_is_named(tmp_path, capsys):
    assert main(["sysconftool", str(tmp_path / "pop3d")]) == 1
    assert "pop3d.dist: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["-x", "imapd"], ["-f"]])
def test_misuse_prints_the_usage(arguments, capsys):
    assert main(["sysconftool", *arguments]) == 1
    assert "Usage: sysconftool" in capsys.readouterr().err
