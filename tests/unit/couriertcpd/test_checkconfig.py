"""What an administrator is told about a configuration file before the server starts."""

from pathlib import Path

import pytest

from couriertcpd.checkconfig import main

DIST = """\
##VERSION: $Id: test $
##NAME: MAXDAEMONS:0
#
# How many.

MAXDAEMONS=40

##NAME: DEFDOMAIN:0
#
# DEFDOMAIN=@example.com

"""


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Check a file of that text; returns the exit status and the lines on standard error, without the folder."""
    (tmp_path / "imapd.dist").write_text(DIST)

    def run(text: str) -> tuple[int, list[str]]:
        (tmp_path / "imapd").write_text(text, newline="")
        status = main(["checkconfig", str(tmp_path / "imapd")])
        return status, capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()

    return run


def test_known_settings_pass_in_silence(check):
    text = "MAXDAEMONS=10\nDEFDOMAIN=@example.org\nAUTHSERVICE993=imaps\nTZ=UTC\nBASE=/srv\nMAXDAEMONS=$BASE\n"
    assert check(text) == (0, [])


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(check):
    assert check("# x\nMAXDEAMONS=10\n") == (
        0,
        ["WARN: imapd:2: MAXDEAMONS is not a setting: was MAXDAEMONS meant?"],
    )


def test_an_unknown_setting_is_named(check):
    assert check("QQ=10\n") == (0, ["WARN: imapd:1: QQ is not a setting: remove the line"])


def test_without_dist_files_nothing_is_unknown(tmp_path, capsys):
    (tmp_path / "imapd").write_text("QQ=10\n")
    assert main(["checkconfig", str(tmp_path / "imapd")]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["IMAP_ENHANCEDIDLE", "AUTHMODULES", "IMAP_CAPABILITY_ORIG", "TLS_DHCERTFILE"])
def test_a_historic_setting_is_told_with_what_replaced_it(check, name):
    status, lines = check(f"{name}=1\n")
    assert status == 0
    assert len(lines) == 1
    assert lines[0].startswith(f"WARN: imapd:1: {name} has no effect: ")


def test_a_historic_setting_is_told_even_if_another_refers_to_it(check):
    status, lines = check('IMAP_CAPABILITY_ORIG=1\nDEFDOMAIN="$IMAP_CAPABILITY_ORIG"\n')
    assert status == 0
    assert len(lines) == 1


def test_settings_of_later_versions_share_one_line(check):
    assert check("OUTBOX=.Outbox\nIMAP_PROXY=0\n") == (
        0,
        [
            "WARN: imapd: settings that this version does not use yet: OUTBOX (line 1), IMAP_PROXY (line 2);"
            " they can stay"
        ],
    )


def test_a_line_that_is_no_assignment_is_told_and_does_no_harm(check):
    assert check("MAXDAEMONS = 10\n") == (
        0,
        ['WARN: imapd:1: not understood, near "MAXDAEMONS": write NAME=value or NAME="value"'],
    )


def test_dos_line_ends_are_told(check):
    status, lines = check("MAXDAEMONS=10\r\n")
    assert status == 0
    assert "carriage return" in lines[0]


def test_what_the_shell_cannot_read_fails(check):
    status, lines = check('MAXDAEMONS="10\n')
    assert status == 1
    assert lines[0].startswith("WARN: imapd:1: not understood")
    assert lines[1].startswith("ERR: imapd: /bin/sh cannot read it: ")


def test_a_missing_file_fails(tmp_path, capsys):
    assert main(["checkconfig", str(tmp_path / "imapd")]) == 1
    assert f"{tmp_path}/imapd" in capsys.readouterr().err


def test_misuse_prints_the_usage(capsys):
    assert main(["checkconfig"]) == 1
    assert capsys.readouterr().err == "Usage: checkconfig FILE ...\n"


@pytest.mark.parametrize("value", ["on", "OFF", "/var/cache/index", "", "$DEFDOMAIN"])
def test_where_the_index_may_be(check, value):
    assert not any("must be" in line for line in check(f"IMAP_INDEX={value}\n")[1])


@pytest.mark.parametrize("value", ["indexes", "onn", "./x"])
def test_where_it_may_not_be(check, value):
    assert f"WARN: imapd:1: IMAP_INDEX={value}: must be on, off or the full path of a directory" in check(
        f"IMAP_INDEX={value}\n"
    )[1]


def test_the_full_text_index_is_on_or_off(check):
    assert not any("must be" in line for line in check("IMAP_FTS=1\n")[1] + check("IMAP_FTS=0\n")[1])
    assert "WARN: imapd:1: IMAP_FTS=yes: must be 0 or 1" in check("IMAP_FTS=yes\n")[1]
