"""authdaemonrc and the merging of options."""

from pathlib import Path

import pytest

from authdaemond import options, rcfile


def settings(tmp_path: Path, text: str) -> rcfile.Settings:
    path = tmp_path / "authdaemonrc"
    path.write_text(text)
    return rcfile.read(str(path))


def test_usual_file(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        '##VERSION: x\n##NAME: authmodulelist:0\n#\nauthmodulelist="authuserdb authpam"  # two\n\n'
        "authdaemonvar=/run/x\ndaemons= 7 \nDEBUG_LOGIN=1\nDEFAULTOPTIONS=\"disablepop3=1\"\n LOGGEROPTS='-name=x'\n",
    )
    assert found.modules == ["authuserdb", "authpam"]
    assert (found.daemons, found.debug, found.directory) == (7, 1, "/run/x")
    assert found.default_options == b"disablepop3=1"
    assert found.variables["LOGGEROPTS"] == "-name=x"


def test_the_file_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULTOPTIONS", "a=1")
    monkeypatch.setenv("DEBUG_LOGIN", "1")
    found = settings(tmp_path, "daemons=1\n")
    assert (found.default_options, found.debug, found.modules) == (b"a=1", 1, None)
    assert settings(tmp_path, "daemons=1\nDEFAULTOPTIONS=\n").default_options == b""


@pytest.mark.parametrize(
    "line",
    ["authmodulelist", "=x", "a b=c", 'x="open', 'x="a" b', "x='open", 'x=a"b', "1x=2", "x-y=1", "export x=1", "é=1"],
)
def test_bad_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(rcfile.BadLine) as caught:
        settings(tmp_path, f"daemons=1\n\n{line}\n")
    path = tmp_path / "authdaemonrc"
    assert str(caught.value) == f'Bad line in {path}: {line} (line 3: write name=value or name="value")'


@pytest.mark.parametrize("value", ["", "0", "-3", "many", "501", "999999999999"])
def test_bad_number_of_daemons(tmp_path: Path, capfd: pytest.CaptureFixture[str], value: str) -> None:
    assert settings(tmp_path, f"daemons={value}\n").daemons == 1
    assert "ERR: Configuration error - 'daemons' must be 1 to 500, using 1\n" in capfd.readouterr().err


def test_missing_daemons(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert settings(tmp_path, "").daemons == 1
    assert capfd.readouterr().err == "ERR: Configuration error - missing 'daemons' setting, using 1\n"


def test_something_else_under_that_name(tmp_path: Path) -> None:
    with pytest.raises(rcfile.BadLine):
        settings(tmp_path, "#" * (rcfile.MAX_OCTETS + 1))


@pytest.mark.parametrize(
    ("own", "defaults", "merged"),
    [
        (b"disableimap=0,group=a", b"disableimap=1,disablepop3=1", b"disableimap=0,group=a,disablepop3=1"),
        (b"", b"", b""),
        (b"", b"a=1,b", b"a=1,b"),
        (b"a", b"a=1,ab=2", b"a,ab=2"),
        (b"group=a,group=b", b"group=c", b"group=a,group=b"),
        (b",a=1,,", b",", b"a=1"),
        (b"", b"group=a,group=b", b"group=a,group=b"),
    ],
)
def test_merged_options(own: bytes, defaults: bytes, merged: bytes) -> None:
    assert options.merged(own, defaults) == merged
