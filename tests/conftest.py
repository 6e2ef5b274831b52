"""What tests of every folder share: the installed tree."""

import fcntl
import gc
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import hypothesis
import pytest
from chain import chain  # noqa: F401 - the fixture is everybody's

from couriertcpd import environ

SOURCE = Path(__file__).resolve().parent.parent
KEY = pytest.StashKey[str]()

# How long an example takes depends on what else the machine does, and proves nothing.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# What a test has left open, such as the databases of indexes, is not for a forked child to collect: that would close
# descriptors by numbers that are the child's own by then, and the children's databases with them.
os.register_at_fork(after_in_child=gc.freeze)


class InstalledTree:
    """The directories of an installation made with `make install install-configure`."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.bin = prefix / "bin"
        self.sbin = prefix / "sbin"
        self.libexec = prefix / "libexec"
        self.etc = prefix / "etc"
        self.lib = prefix / "lib"
        self.man = prefix / "man"
        self.share = prefix / "share"
        self.var = prefix / "var"
        self.run = prefix / "run"


def make(*arguments: str, cwd: Path = SOURCE) -> str:
    """Run make as from a shell (not as a part of a make that may be running the tests); returns what it printed."""
    environment = environ.everything()
    for name in (b"MAKEFLAGS", b"MAKELEVEL", b"MFLAGS", b"DESTDIR", b"MAKEOVERRIDES"):
        environment.pop(name, None)
    done = subprocess.run(["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"make {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pytest_configure(config: pytest.Config) -> None:
    """One name for the place of the installed tree, whatever number of workers there is; made when it is needed."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[KEY] = workerinput["installed_tree"]
        return
    config.stash[KEY] = os.path.join(tempfile.gettempdir(), f"courier-imap-tests.{secrets.token_hex(8)}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell an xdist worker where the installed tree is."""
    node.workerinput["installed_tree"] = node.config.stash[KEY]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the installed tree away at the end of the run."""
    if not hasattr(config, "workerinput") and KEY in config.stash:
        shutil.rmtree(config.stash[KEY], ignore_errors=True)


@pytest.fixture(scope="session")
def installed_tree(pytestconfig: pytest.Config) -> InstalledTree:
    """The installed tree, made once in a run: do not change its files, copy them."""
    place = Path(pytestconfig.stash[KEY])
    place.mkdir(exist_ok=True)
    place.chmod(0o755)  # accounts without rights can enter it
    prefix = place / "prefix"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for as long as one make takes
        if not (place / "made").exists():
            make("install", "install-configure", f"prefix={prefix}", f"piddir={prefix}/run")
            (prefix / "run").mkdir()
            (place / "made").touch()
    return InstalledTree(prefix)
