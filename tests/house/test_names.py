"""Names that would get in the way of the standard library, and where Python may lie."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
TRACKED = [
    Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
]


def packages() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(SOURCE / "setup.cfg")
    return setup["options.packages.find"]["include"].replace("*", "").split()


@pytest.mark.parametrize("folder", ["sysconfig", "share", "libexec"])
def test_folders_without_packages_hold_no_python(folder):
    assert [str(path) for path in TRACKED if path.parts[0] == folder and path.suffix == ".py"] == []


def test_no_name_at_the_top_is_one_of_the_standard_library():
    names = {path.parts[0].removesuffix(".py") for path in TRACKED}
    assert names & sys.stdlib_module_names == {"sysconfig"}  # holds no Python, see above


def test_the_standard_library_s_sysconfig_is_found_from_the_source_tree():
    code = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip(), "os.py").exists(), done.stderr


def test_every_package_is_installed():
    assert sorted(packages()) == sorted(
        path.parts[0]
        for path in TRACKED
        if path.match("*/__init__.py") and len(path.parts) == 2 and path.parts[0] != "tests"
    )


@pytest.mark.parametrize("package", packages())
def test_init_files_hold_a_docstring_only(package):
    for path in (SOURCE / package).rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


@pytest.mark.parametrize("package", packages())
def test_nothing_is_called_util(package):
    names = {path.stem for path in (SOURCE / package).rglob("*.py")}
    assert names & {"util", "utils", "helpers", "common", "manager", "misc", "base"} == set()
