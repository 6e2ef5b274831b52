"""The reader of configuration files, by itself and against /bin/sh."""

import subprocess
from pathlib import Path

import pytest

from couriertcpd import sysconf
from couriertcpd.sysconf import BadConfiguration, assignments, entries


def read(folder: Path, text: str, **variables: str) -> list[tuple[int, str, str]]:
    path = folder / "imapd"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return list(assignments(str(path), variables))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=143", "143"),
        ("A=", ""),
        ('A="two words"', "two words"),
        ("A='$HOME # \"x\"'", '$HOME # "x"'),
        ("A=one # a comment", "one"),
        ("A=one#two", "one#two"),
        ('A="one # two"', "one # two"),
        (r"A=one\ two\\", "one two\\"),
        (r'A="a\$b\"c\\d\e"', r'a$b"c\d\e'),
        ("A=a'b c'\"d e\"f", "ab cd ef"),
        ("  A=indented", "indented"),
        ("export A=1", "1"),
        ("A=1; B=2", "1"),
        ("B=1 A=2", "2"),
        ("B=x\nA=$B", "x"),
        ('B="x y"\nA="<$B>${B}z"', "<x y>x yz"),
        ("A=${GIVEN}", "from outside"),
        ("A=$UNSET-", "-"),
        ("A=1\nA=2", "2"),
        ('A="two\nlines"', "two\nlines"),
        ('A="joi\\\nned"', "joined"),
        ("A=joi\\\nned", "joined"),
        ("A=cost$", "cost$"),
        ('A="$"', "$"),
        ("A=@example.com", "@example.com"),
        ("A=Trash:7,Junk:1", "Trash:7,Junk:1"),
        ("A=Grüße", "Grüße"),
        ("A=\udcff", "\udcff"),
        ("A=1\nexport A", "1"),
        ("A=1\r\n", "1\r"),
        ("B=1 " * 5000 + "A=2", "2"),
    ],
)
def test_values_are_what_the_shell_makes_of_them(tmp_path, text, value):
    last = {name: found for _, name, found in read(tmp_path, text, GIVEN="from outside")}
    assert last["A"] == value
    shell = subprocess.run(
        ["/usr/bin/env", "-i", "GIVEN=from outside", "/bin/sh", "-c", f'. {tmp_path}/imapd; printf %s "$A"'],
        capture_output=True,
        timeout=120,
    )
    assert shell.stdout == value.encode("utf-8", "surrogateescape")


def test_lines_are_counted_from_one_and_later_wins_is_left_to_the_reader(tmp_path):
    text = '# comment\n\nA=1\nB="x\ny"; C=3\nA=2'
    assert read(tmp_path, text) == [(3, "A", "1"), (4, "B", "x\ny"), (5, "C", "3"), (6, "A", "2")]


@pytest.mark.parametrize(
    "line",
    [
        "PORT = 143",
        "PORT",
        "umask 022",
        "if true; then",
        ". /etc/other",
        "A=$(id)",
        "A=`id`",
        'A="`id`"',
        "A=${B:-c}",
        "A=1 prog",
        "A='open",
        'A="open',
        "A=1&",
        "export",
        "1A=2",
    ],
)
def test_anything_else_is_not_understood(tmp_path, line):
    with pytest.raises(BadConfiguration) as caught:
        read(tmp_path, f"# first\n{line}\n")
    assert (caught.value.line, caught.value.text) == (2, line)
    assert str(caught.value).startswith(f"{tmp_path}/imapd:2: not understood")


def test_reading_can_go_on_after_a_line_that_is_not_understood(tmp_path):
    path = tmp_path / "imapd"
    path.write_text("A=1\nfoo bar\nB=2\n")
    found = list(entries(str(path)))
    assert [entry[1] for entry in found if isinstance(entry, tuple)] == ["A", "B"]
    assert [entry.line for entry in found if isinstance(entry, BadConfiguration)] == [2]


def test_the_message_does_not_show_a_value(tmp_path):
    with pytest.raises(BadConfiguration) as caught:
        read(tmp_path, "LDAP_BINDPW = sesame\n")
    assert "sesame" not in str(caught.value)


def test_a_file_that_cannot_be_a_configuration_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconf, "MAX_FILE", 10)
    assert read(tmp_path, "A=12345678") == [(1, "A", "12345678")]
    with pytest.raises(BadConfiguration, match="imapd:1"):
        read(tmp_path, "A=123456789")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(assignments(str(tmp_path / "nothing")))
