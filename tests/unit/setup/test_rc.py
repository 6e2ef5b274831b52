"""The rc scripts: what they start, with which environment.  The programs of the chain are stand-ins that tell."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from couriertcpd import installed

TELL = r"""#!/bin/sh
{ printf 'argv'; for word; do printf '\t%s' "$word"; done; echo; umask; ulimit -v; env; } >TARGET
"""

SETTINGS = """\
ADDRESS=127.0.0.1
PORT=10143
MAXDAEMONS=7
MAXPERIP=3
PIDFILE=PREFIX/run/sub/imapd.pid
TCPDOPTS="-nodnslookup -warn=5"
IMAPACCESSFILE=PREFIX/etc/imapaccess
LOGGEROPTS="-name=imapd -facility=local3"
IMAP_CAPABILITY="IMAP4rev1 IDLE"
IMAP_UMASK=027
IMAP_ULIMITD=900000
MAILDIRPATH=Mail
"""


class Tree:
    """A copy of the installed rc scripts with stand-ins around them."""

    def __init__(self, prefix: Path, installed) -> None:
        self.prefix = prefix
        for name in ("bin", "sbin", "libexec/authlib", "etc/imapaccess"):
            (prefix / name).mkdir(parents=True)
        for script in ("libexec/imapd.rc", "libexec/authlib/authdaemond"):
            text = (installed.prefix / script).read_text().replace(str(installed.prefix), str(prefix))
            self.program(script, text)
        self.program("sbin/courierlogger", TELL.replace("TARGET", str(prefix / "told")))
        self.program("bin/makedat", TELL.replace("TARGET", str(prefix / "made")))
        self.program("libexec/checkconfig", TELL.replace("TARGET", str(prefix / "checked")))
        self.configure(SETTINGS)

    def program(self, name: str, text: str) -> None:
        path = self.prefix / name
        path.write_text(text)
        path.chmod(0o755)

    def configure(self, text: str, name: str = "imapd") -> None:
        (self.prefix / "etc" / name).write_text(text.replace("PREFIX", str(self.prefix)))

    def run(self, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.prefix / script), *arguments],
            env={"PATH": "/usr/bin:/bin", "SECRET": "1", "IMAP_CAPABILITY": "from outside"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self) -> "subprocess.CompletedProcess[str]":
        done = self.run("libexec/imapd.rc", "start")
        assert done.returncode == 0, done.stderr
        return done

    def told(self, name: str = "told") -> list[str]:
        return (self.prefix / name).read_text().replace(str(self.prefix), "PREFIX").splitlines()


@pytest.fixture
def tree(tmp_path, installed_tree) -> Tree:
    return Tree(tmp_path / "tree", installed_tree)


def test_start_runs_the_chain(tree):
    tree.start()
    assert tree.told()[0].split("\t") == [
        "argv",
        "-pid=PREFIX/run/sub/imapd.pid",
        "-start",
        "-name=imapd",
        "-facility=local3",
        "PREFIX/libexec/couriertcpd",
        "-address=127.0.0.1",
        "-maxprocs=7",
        "-maxperip=3",
        "-prefork=4",
        "-config=PREFIX/etc/imapd",
        "-status=PREFIX/run/sub/imapd.pid.status",
        "-access=PREFIX/etc/imapaccess.dat",
        "-nodnslookup",
        "-warn=5",
        "10143",
        "PREFIX/sbin/imaplogin",
        "PREFIX/bin/imapd",
        "Mail",
    ]
    assert (tree.prefix / "run" / "sub").is_dir()


def test_umask_and_memory_limit_are_those_of_the_configuration(tree):
    done = tree.start()
    umask, limit = tree.told()[1:3]
    assert (int(umask, 8), limit) == (0o027, "900000")
    assert done.stderr == ""


@pytest.mark.parametrize(("value", "limit"), [("", "unlimited"), ("0", "unlimited"), ("65536", "262144")])
def test_a_memory_limit_that_is_too_small_is_raised_and_told(tree, value, limit):
    tree.configure(SETTINGS.replace("900000", value))
    done = tree.start()
    assert tree.told()[2] == limit
    assert (f"IMAP_ULIMITD={value} is too small" in done.stderr) == (value == "65536")


def test_a_memory_limit_that_is_no_number_is_told(tree):
    tree.configure(SETTINGS.replace("900000", "64m"))
    assert "IMAP_ULIMITD=64m is not a number of KiB" in tree.start().stderr
    assert tree.told()[2] == "unlimited"


def test_nothing_but_the_configuration_reaches_the_environment(tree):
    tree.configure("IMAP_CAPABILITY=ssl\nONLY_SSL=1\nIMAPDSTARTTLS=YES\nTLS_STARTTLS_PROTOCOL=TLS1.3\n", "imapd-ssl")
    tree.start()
    environment = dict(line.split("=", 1) for line in tree.told()[3:])
    for name in ("PWD", "SHLVL", "_", "OLDPWD"):  # of the shells themselves
        environment.pop(name, None)
    assert environment.pop("IMAP_CAPABILITY") == "IMAP4rev1 IDLE"  # imapd counts more than imapd-ssl
    assert environment.pop("ONLY_SSL") == "1"
    assert environment.pop("IMAP_STARTTLS") == "YES"
    assert environment.pop("TLS_PROTOCOL") == "TLS1.3"
    assert environment.pop("libexecdir") == "PREFIX/libexec"
    assert "SECRET" not in environment
    assert "PATH" not in environment


def test_a_configuration_with_nothing_set_has_the_original_s_defaults(tree):
    tree.configure("")
    tree.run("libexec/imapd.rc", "start")
    words = tree.told()[0].split("\t")
    assert words[3:] == [
        "-name=imapd",
        "PREFIX/libexec/couriertcpd",
        "-address=0",
        "-maxprocs=40",
        "-maxperip=4",
        "-prefork=4",
        "-config=PREFIX/etc/imapd",
        "-status=PREFIX/run/imapd.pid.status",
        "-nodnslookup",
        "143",
        "PREFIX/sbin/imaplogin",
        "PREFIX/bin/imapd",
        "Maildir",
    ]


def test_the_access_database_is_built_when_it_is_missing(tree):
    tree.start()
    assert tree.told("made")[0].split("\t")[1:] == [
        "-src=PREFIX/etc/imapaccess",
        "-file=PREFIX/etc/imapaccess.dat",
        "-tmp=PREFIX/etc/imapaccess.tmp",
        "-cidr",
    ]


def test_the_access_database_is_not_built_again(tree):
    (tree.prefix / "etc" / "imapaccess.dat").touch()
    tree.start()
    assert not (tree.prefix / "made").exists()


def test_a_missing_access_file_is_told(tree):
    (tree.prefix / "etc" / "imapaccess").rmdir()
    done = tree.run("libexec/imapd.rc", "start")
    assert done.returncode == 1
    assert done.stderr == f"{tree.prefix}/etc/imapaccess is missing.\n"
    assert not (tree.prefix / "told").exists()


def test_a_missing_configuration_is_told(tree):
    (tree.prefix / "etc" / "imapd").unlink()
    done = tree.run("libexec/imapd.rc", "start")
    assert done.returncode == 1
    assert done.stderr == f"{tree.prefix}/etc/imapd does not exist, forgot make install-configure?\n"


def test_a_configuration_that_cannot_be_read_starts_nothing(tree):
    tree.program("libexec/checkconfig", "#!/bin/sh\nexit 1\n")
    assert tree.run("libexec/imapd.rc", "start").returncode == 1
    assert not (tree.prefix / "told").exists()


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_stop_and_restart_go_to_the_logger(tree, verb):
    tree.run("libexec/imapd.rc", verb)
    assert tree.told()[0].split("\t")[1:] == ["-pid=PREFIX/run/sub/imapd.pid", f"-{verb}"]
    assert not (tree.prefix / "checked").exists()


@pytest.mark.parametrize("arguments", [[], ["status"]])
def test_other_words_do_nothing(tree, arguments):
    done = tree.run("libexec/imapd.rc", *arguments)
    assert (done.returncode, done.stderr) == (0, "Usage: imapd.rc start|stop|restart\n")


OTHERS = {
    "imapd-ssl": ({"IMAP_TLS": "1"}, ["imapd", "imapd-ssl"], "993", ["sbin/imaplogin", "bin/imapd"]),
    "pop3d": ({"TLS_PROTOCOL": "TLSv1.3"}, ["pop3d-ssl", "pop3d"], "110", ["sbin/pop3login", "bin/pop3d"]),
    "pop3d-ssl": (
        {"POP3_TLS": "1", "POP3_STARTTLS": "NO", "POP3_TLS_REQUIRED": "0", "TLS_PROTOCOL": "TLSv1.2"},
        ["pop3d", "pop3d-ssl"], "995", ["sbin/pop3login", "bin/pop3d"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_scripts(tree, installed_tree, name):
    """What they force, which file counts, and the chain, with couriertls in front for TLS."""
    forced, files, port, stages = OTHERS[name]
    script = (installed_tree.prefix / f"libexec/{name}.rc").read_text()
    tree.program(f"libexec/{name}.rc", script.replace(str(installed_tree.prefix), str(tree.prefix)))
    tree.program("bin/couriertls", "#!/bin/sh\n[ $# = 1 ] && [ $1 = -check ]\n")
    for file in files:
        tree.configure(
            f"WHO={file}\nPOP3_STARTTLS=YES\nPOP3_TLS_REQUIRED=1\nTLS_PROTOCOL=TLSv1.2\nTLS_STARTTLS_PROTOCOL=TLSv1.3\n"
            f"SSLPIDFILE=PREFIX/run/{name}.pid\nPIDFILE=PREFIX/run/{name}.pid\n",
            file,
        )
    done = tree.run(f"libexec/{name}.rc", "start")
    assert (done.returncode, done.stderr) == (0, "")
    lines = tree.told()
    tls = name.endswith("-ssl")
    front = ["PREFIX/bin/couriertls", "-server", "-tcpd", f"-user={installed.MAILUSER}"] if tls else []
    assert lines[0].split("\t") == [
        "argv", f"-pid=PREFIX/run/{name}.pid", "-start", f"-name={name}", "PREFIX/libexec/couriertcpd", "-address=0",
        "-maxprocs=40", "-maxperip=4", "-prefork=4", *(f"-config=PREFIX/etc/{file}" for file in files),
        f"-status=PREFIX/run/{name}.pid.status", "-nodnslookup", port, *front,
        *(f"PREFIX/{stage}" for stage in stages), "Maildir",
    ]  # fmt: skip
    environment = dict(line.split("=", 1) for line in lines[3:] if "=" in line)
    assert environment["WHO"] == files[1]
    assert environment["COURIERTLS"] == "PREFIX/bin/couriertls"
    assert {key: environment.get(key) for key in forced} == forced
    assert "SECRET" not in environment


@pytest.mark.parametrize("name", ["imapd-ssl", "pop3d-ssl"])
def test_an_encrypted_port_needs_both_files_and_a_certificate(tree, installed_tree, name):
    script = (installed_tree.prefix / f"libexec/{name}.rc").read_text()
    tree.program(f"libexec/{name}.rc", script.replace(str(installed_tree.prefix), str(tree.prefix)))
    tree.program("bin/couriertls", "#!/bin/sh\necho 'no certificate' >&2\nexit 1\n")
    plain = name.removesuffix("-ssl")
    for there, missing in ((plain, name), (name, plain)):
        for file in (plain, name):
            (tree.prefix / "etc" / file).unlink(missing_ok=True)
        tree.configure("", there)
        done = tree.run(f"libexec/{name}.rc", "start")
        wanted = f"{tree.prefix}/etc/{missing} does not exist, forgot make install-configure?\n"
        assert (done.returncode, done.stderr) == (1, wanted)
    tree.configure("", plain)
    done = tree.run(f"libexec/{name}.rc", "start")
    assert (done.returncode, done.stderr) == (1, "no certificate\n")
    assert not (tree.prefix / "told").exists()


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_authdaemond_runs_below_the_logger(tree, verb):
    tree.configure(
        'authdaemonvar=PREFIX/spool/authdaemon\nLOGGEROPTS="-facility=auth"\nDEBUG_LOGIN=1\n', "authdaemonrc"
    )
    assert tree.run("libexec/authlib/authdaemond", verb).returncode == 0
    assert tree.told()[0].split("\t")[1:] == [
        "-name=authdaemond",
        "-pid=PREFIX/spool/authdaemon/pid",
        "-facility=auth",
        f"-{verb}",
        "PREFIX/libexec/authlib/authdaemond.daemon",
    ]
    assert "DEBUG_LOGIN=1" in tree.told()
    assert (tree.prefix / "spool" / "authdaemon").exists() == (verb == "start")


def test_authdaemond_without_configuration_is_told(tree):
    done = tree.run("libexec/authlib/authdaemond", "start")
    assert done.returncode == 1
    assert "authdaemonrc does not exist, forgot make install-configure?" in done.stderr


def test_the_init_script_starts_what_the_configuration_says(tree, installed_tree):
    text = (installed_tree.share / "courier-imap.sysvinit").read_text()
    tree.program("init", text.replace(str(installed_tree.prefix), str(tree.prefix)))
    for name in ("libexec/imapd.rc", "libexec/authlib/authdaemond"):
        tree.program(name, f'#!/bin/sh\necho "{os.path.basename(name)} $1" >>{tree.prefix}/log\n')
    log = tree.prefix / "log"
    assert tree.run("init", "start").stdout == "Starting Courier-IMAP server:\n"
    assert log.read_text() == "authdaemond start\n"
    tree.configure(SETTINGS + "IMAPDSTART=YES\n")
    assert (
        tree.run("init", "restart").stdout == "Stopping Courier-IMAP server: imap\nStarting Courier-IMAP server: imap\n"
    )
    assert log.read_text().splitlines()[1:] == [
        "imapd.rc stop",
        "authdaemond stop",
        "authdaemond start",
        "imapd.rc start",
    ]


def test_the_first_start_of_an_encrypted_port_makes_a_certificate(tree, installed_tree):
    text = (installed_tree.share / "courier-imap.sysvinit").read_text()
    tree.program("init", text.replace(str(installed_tree.prefix), str(tree.prefix)))
    for name in ("libexec/imapd-ssl.rc", "libexec/authlib/authdaemond", "sbin/mkimapdcert", "sbin/mkdhparams"):
        tree.program(name, f'#!/bin/sh\necho "{os.path.basename(name)}" >>{tree.prefix}/log\n')
    tree.configure("IMAPDSSLSTART=YES\nTLS_CERTFILE=PREFIX/share/imapd.pem\n", "imapd-ssl")
    log, share = tree.prefix / "log", tree.prefix / "share"
    said = tree.run("init", "start").stdout
    assert "generating-SSL-certificate..." in said
    assert log.read_text().split() == ["authdaemond", "mkdhparams", "mkimapdcert", "imapd-ssl.rc"]
    log.unlink()
    share.mkdir()
    (share / "imapd.pem").touch()
    (share / "dhparams.pem").touch()
    assert tree.run("init", "start").stdout == "Starting Courier-IMAP server: imap-ssl\n"
    assert log.read_text().split() == ["authdaemond", "imapd-ssl.rc"]


@pytest.mark.skipif(shutil.which("dash") is None, reason="dash is not installed")
@pytest.mark.parametrize(
    "script",
    [
        *(f"libexec/{name}.rc" for name in ("imapd", *OTHERS)),
        "libexec/authlib/authdaemond",
        "share/courier-imap.sysvinit",
    ],
)
def test_the_scripts_are_plain_sh(installed_tree, script):
    assert subprocess.run(["dash", "-n", str(installed_tree.prefix / script)], timeout=120).returncode == 0
