"""The table of programs: each has a module with a main, a man page, and its place in the installed tree."""

import ast
import configparser
import os
import stat
from pathlib import Path

import pytest

from couriertcpd import couriertls, installed, stage
from imaplogin import imaplogin

SOURCE = Path(__file__).resolve().parents[2]

# Programs that are told of in another's page, and scripts that have a page of their own.
PAGES = {"authdaemond.daemon": "authdaemond", "imapd-ssl.rc": "imapd.rc", "pop3d-ssl.rc": "pop3d.rc"}
SCRIPTS = [
    ("libexec", "imapd.rc"),
    ("libexec", "imapd-ssl.rc"),
    ("libexec", "pop3d-ssl.rc"),
    ("libexec", "pop3d.rc"),
    ("libexec/authlib", "authdaemond"),
]

STAGES = {"couriertcpd.couriertls", "imaplogin.imaplogin", "imaplogin.pop3login", "imapd.main", "pop3d.main"}


def table() -> list[tuple[str, str, str]]:
    lines = (SOURCE / "libexec" / "programs").read_text().splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    assert all(row[3:] in ([], ["stage"]) for row in rows)
    return [(directory, name, module) for directory, name, module, *_ in rows]


@pytest.mark.parametrize("module", sorted({module for _, _, module in table()}))
def test_the_module_has_a_main(module):
    path = SOURCE / (module.replace(".", "/") + ".py")
    functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    assert "main" in functions
    assert len(functions["main"].args.args) == 1


@pytest.mark.parametrize("name", sorted({name for _, name, _ in table()} | {name for _, name in SCRIPTS}))
def test_there_is_a_man_page(name):
    pages = list((SOURCE / "share" / "man").glob(f"man[1-8]/{PAGES.get(name, name)}.[1-8]"))
    assert len(pages) == 1
    section = pages[0].suffix[1:]
    assert pages[0].parent.name == f"man{section}"
    text = pages[0].read_text()
    for heading in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"):
        assert heading in text


def test_every_main_is_somebody_s_program():
    mains = set()
    for package in ("couriertcpd", "authdaemond", "maildir", "imaplogin", "imapd", "pop3d"):
        for path in (SOURCE / package).rglob("*.py"):
            if any(
                isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(path.read_text()).body
            ):
                mains.add(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    assert mains == {module for _, _, module in table()} | {imaplogin.LAUNCHER, couriertls.LAUNCHER}


def test_the_installed_programs_can_be_run_by_every_account(installed_tree):
    for directory, name, module in table():
        path = installed_tree.prefix / directory / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        interpreter, flags = path.read_text().splitlines()[0].removeprefix("#!").split()
        assert os.path.isabs(interpreter)
        assert flags == "-IS"
        if module in STAGES:
            assert path.read_text().endswith(f'stage.run("{module}", sys.argv)\n')
            assert stage.module_of(str(path)) == module
        else:
            assert f"from {module} import main" in path.read_text()
            assert stage.module_of(str(path)) is None


def test_the_installed_scripts_can_be_run_by_every_account(installed_tree):
    for directory, name in SCRIPTS:
        path = installed_tree.prefix / directory / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert "@" not in path.read_text().replace("$@", "")


def test_the_version_is_said_once():
    setup = configparser.ConfigParser()
    setup.read(SOURCE / "setup.cfg")
    assert setup["metadata"]["version"] == installed.VERSION
