"""`make install` and `make install-configure`: by root and by an ordinary user, below DESTDIR, again, and undone."""

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCE, make

CODE = "from couriertcpd import installed as i; print(i.__file__, i.PREFIX, i.SYSCONFDIR, i.PIDDIR, i.USERDB)"


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_installed_code_knows_where_it_lives(installed_tree):
    program = (installed_tree.sbin / "imaplogin").read_text()
    interpreter = program.splitlines()[0].removeprefix("#!").split()
    start = program.split("from couriertcpd", 1)[0]
    done = subprocess.run([*interpreter, "-c", start + CODE], capture_output=True, text=True, timeout=120, cwd="/")
    prefix = installed_tree.prefix
    assert done.stdout.split() == [
        f"{prefix}/lib/courier/couriertcpd/installed.py",
        str(prefix),
        f"{prefix}/etc",
        f"{prefix}/run",
        f"{prefix}/etc/userdb",
    ], done.stderr


def test_third_party_packages_are_in_the_installed_tree_and_the_environment_is_not(installed_tree):
    program = (installed_tree.sbin / "imaplogin").read_text()
    interpreter = program.splitlines()[0].removeprefix("#!").split()
    start = program.split("from couriertcpd", 1)[0]
    code = "import daemon, OpenSSL, passlib, psutil, watchdog, dbm.gnu; print(OpenSSL.__file__, *sys.path)"
    done = subprocess.run([*interpreter, "-c", start + code], capture_output=True, text=True, timeout=120, cwd="/")
    assert done.stdout.startswith(f"{installed_tree.lib}/site/OpenSSL/"), done.stderr
    assert str(SOURCE) not in done.stdout


def test_everything_is_compiled(installed_tree):
    for folder in ("courier", "site"):
        sources = files_below(installed_tree.lib / folder)
        compiled = {name for name in sources if name.endswith(f".{sys.implementation.cache_tag}.pyc")}
        python = {name for name in sources if name.endswith(".py")}
        assert len(compiled) == len(python) > 20


def test_configuration_is_for_its_owner_only(installed_tree):
    for path in installed_tree.etc.iterdir():
        expected = 0o755 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert stat.S_IMODE((installed_tree.var / "authdaemon").stat().st_mode) == 0o750


def test_templates_are_filled_in(installed_tree):
    text = (installed_tree.etc / "imapd").read_text()
    assert f"PIDFILE={installed_tree.run}/imapd.pid" in text
    assert "@" not in text.replace("@example.com", "").replace('"@%"', "")


def test_destdir_keeps_a_second_installation_and_gives_it_up(tmp_path):
    variables = ["prefix=/opt/courier", f"DESTDIR={tmp_path}", "sysconfdir=/etc/courier", "piddir=/run/courier"]
    make("install", "install-configure", *variables)
    etc = tmp_path / "etc" / "courier"
    configured = {"authdaemonrc", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl"}
    templates = {"imapd.cnf", "pop3d.cnf"}
    shipped = {f"{name}.dist" for name in configured}
    assert {path.name for path in etc.iterdir()} == configured | shipped | templates | {"imapaccess"}
    assert (etc / "imapd").read_text() == (etc / "imapd.dist").read_text()
    for path in (tmp_path / "opt" / "courier").rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".so"):
            assert str(tmp_path) not in path.read_text(errors="replace"), path

    imapd = (etc / "imapd").read_text()
    older = imapd.replace("##VERSION: $Id: ", "##VERSION: $Id: older ").replace("MAXDAEMONS=40", "MAXDAEMONS=400")
    (etc / "imapd").write_text(older)
    (etc / "imapd.cnf").write_text("edited")
    make("install", *variables)
    assert (etc / "imapd.cnf").read_text() == "edited"
    report = make("install-configure", *variables)
    assert "/etc/courier/imapd:\n" in report
    assert "  MAXDAEMONS: unchanged\n" in report
    assert "\nMAXDAEMONS=400\n" in (etc / "imapd").read_text()
    assert "\n#MAXDAEMONS=40\n" in (etc / "imapd").read_text()
    assert (etc / "imapd.bak").read_text() == older

    make("uninstall", *variables)
    left = files_below(tmp_path)
    assert left == {f"etc/courier/{name}" for name in {*configured, *templates, "imapd.bak"}}


def test_the_certificate_tools_are_where_they_always_were(installed_tree):
    for name in ("mkimapdcert", "mkpop3dcert", "mkdhparams"):
        assert (installed_tree.share / name).samefile(installed_tree.sbin / name)


@pytest.mark.parametrize("prefix", ["relative/dir", "/with a blank", "/with|bar", "/with'quote"])
def test_a_prefix_that_cannot_be_written_into_scripts_is_refused(tmp_path, prefix):
    with pytest.raises(AssertionError, match=r"prefix=.*: (must be an absolute path|choose a path of letters)"):
        make("install", f"prefix={prefix}", f"DESTDIR={tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_configuring_what_is_not_installed_is_told(tmp_path):
    with pytest.raises(AssertionError, match="run make install with the same directories first"):
        make("install-configure", f"prefix={tmp_path}")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_user_can_install(installed_tree, tmp_path_factory):
    place = installed_tree.prefix.parent / "ordinary"
    nobody = pwd.getpwnam("nobody")
    shutil.copytree(SOURCE, place, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    # Filling the environment takes the network; that it is there is all that make wants to know.
    (place / ".venv").mkdir()
    shutil.copy2(SOURCE / ".venv" / "made", place / ".venv" / "made")
    shutil.copy2(SOURCE / "build" / "site" / ".ok", place / "build" / "site" / ".ok")
    for path in (place, *place.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    commands = f"""umask 077
        make install install-configure prefix={place}/inst && {place}/inst/sbin/sysconftool -v {place}/inst/etc/imapd"""
    done = subprocess.run(
        ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "env", "-i",
         f"HOME={place}", "PATH=/usr/bin:/bin", "sh", "-c", commands],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("imapd:\n  is up to date\n")
    assert done.stderr == ""
    assert stat.S_IMODE((place / "inst" / "bin" / "imapd").stat().st_mode) == 0o755
    assert (place / "inst" / "etc" / "imapd").stat().st_uid == nobody.pw_uid


def test_programs_and_pages_elsewhere(tmp_path):
    """--bindir and --mandir of old: /usr/local/bin, /usr/local/man."""
    make("install", "prefix=/opt/courier", "bindir=/usr/bin", "mandir=/usr/man", f"DESTDIR={tmp_path}")
    assert (tmp_path / "usr" / "bin" / "imapd").is_file()
    assert not (tmp_path / "opt" / "courier" / "bin").exists()
    assert not (tmp_path / "opt" / "courier" / "man").exists()
    assert "bindir=/usr/bin\n" not in (tmp_path / "opt/courier/libexec/imapd.rc").read_text()
    assert 'bindir="/usr/bin"' in (tmp_path / "opt/courier/libexec/imapd.rc").read_text()
    shipped = {str(path.relative_to(SOURCE / "share" / "man")) for path in (SOURCE / "share/man").rglob("*.[0-9]")}
    pages = files_below(tmp_path / "usr" / "man")
    assert pages == shipped
    for name in pages:
        left = re.findall(r"@[a-z]+@", (tmp_path / "usr" / "man" / name).read_text())
        assert left == [], name


def test_documents_are_in_the_tree(installed_tree):
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "share/doc/architecture.md"):
        path = installed_tree.share / "doc" / os.path.basename(name)
        assert path.read_bytes() == (SOURCE / name).read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_page_is_found_in_the_tree(installed_tree):
    """With MANPATH, as a profile sets it."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    for page in ("imapd", "pop3d", "couriertls", "mkimapdcert"):
        done = subprocess.run(
            ["man", "-w", page], env={"MANPATH": str(installed_tree.man), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.stdout.startswith(f"{installed_tree.man}/man"), done.stderr
