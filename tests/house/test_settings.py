"""Every setting that is read is documented, and every setting that is documented is read."""

import re
from pathlib import Path

import pytest

from couriertcpd.checkconfig import HISTORIC, LATER, shipped_settings

SOURCE = Path(__file__).resolve().parents[2]
PACKAGES = ("couriertcpd", "authdaemond", "maildir", "imaplogin", "imapd", "pop3d")

CODE = {
    path: path.read_text()
    for package in PACKAGES
    for path in sorted((SOURCE / package).rglob("*.py"))
    if path.name != "checkconfig.py"
}
SCRIPTS = {path: path.read_text() for folder in ("libexec", "share") for path in sorted((SOURCE / folder).glob("*.in"))}
PAGES = {path: path.read_text().replace("\\-", "-") for path in sorted((SOURCE / "share" / "man").rglob("*.[1-8]"))}
SHIPPED = shipped_settings(str(SOURCE / "sysconfig"))

# environ.text("NAME" and the like; a module's own reader of numbers that is given the name.
READ = re.compile(r"""(?:environ\.(?:text|octets|number|enabled|yes|is_set)|_seconds)\(\s*["']([A-Za-z_0-9]+)["']""")


def read_by_code() -> set[str]:
    return {name for text in CODE.values() for name in READ.findall(text)}


def words(texts: dict[Path, str]) -> set[str]:
    return {word for text in texts.values() for word in re.findall(r"\b[A-Za-z][A-Za-z0-9_]*\b", text)}


@pytest.mark.parametrize("name", sorted(read_by_code()))
def test_what_is_read_is_documented(name):
    assert name in SHIPPED or name in words(PAGES), f"{name}: describe it in a man page or in sysconfig/*.dist"


def test_there_is_something_to_look_at():
    assert "MAILDIR" in read_by_code()
    assert "MAXDAEMONS" in SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_is_shipped_is_read(name):
    if re.fullmatch(r"AUTHSERVICE\d+", name):
        name = "AUTHSERVICE"  # the port is put behind it
    in_code = any(re.search(rf"""["']{name}["'{{]""", text) for text in CODE.values())
    for protocol in ("IMAP", "POP3"):  # the login stages share code, which puts the protocol in front
        suffix = name.removeprefix(protocol + "_")
        in_code = in_code or (suffix != name and any(f'"{{protocol}}_{suffix}"' in text for text in CODE.values()))
    in_scripts = any(re.search(rf"\$\{{?{name}\b", text) for text in SCRIPTS.values())
    assert in_code or in_scripts, f"{name}: nothing reads it"


def test_what_is_said_to_have_no_effect_is_read_by_nothing():
    assert (set(HISTORIC) | LATER) & (read_by_code() | SHIPPED) == set()


@pytest.mark.parametrize("path", sorted((SOURCE / "sysconfig").glob("*.dist")), ids=lambda path: path.name)
def test_dist_files_are_made_of_sections(path):
    lines = path.read_text().splitlines()
    assert any(line.startswith("##VERSION: $Id: ") for line in lines[:20])
    names = [line.removeprefix("##NAME: ") for line in lines if line.startswith("##NAME: ")]
    assert len(names) == len({name.partition(":")[0] for name in names})
    assert all(re.fullmatch(r"[A-Za-z0-9_]+:\d+", name) for name in names)
    first = next(number for number, line in enumerate(lines) if line.startswith("##NAME"))
    assert not any(line and not line.startswith("#") for line in lines[:first])
