"""The fork server of a stage has imported before the first fork what a session would import at some time."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]

# Finds what is imported inside functions, in the modules of the house that the stage has loaded.
CODE = """
import ast, importlib, sys
sys.path.insert(0, {source!r})
module = importlib.import_module({module!r})
for name in module.PRELOAD:
    importlib.import_module(name)
missing = set()
for name, loaded in list(sys.modules.items()):
    path = getattr(loaded, "__file__", None) or ""
    if not path.startswith({source!r} + "/"):
        continue
    for function in ast.walk(ast.parse(open(path).read())):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                missing |= {{alias.name for alias in node.names}}
            elif isinstance(node, ast.ImportFrom):
                missing |= {{f"{{node.module}}.{{alias.name}}" for alias in node.names}} | {{node.module}}
def known(name):
    package, _, attribute = name.rpartition(".")
    return name in sys.modules or hasattr(sys.modules.get(package), attribute)
print(*sorted(name for name in missing if not known(name)))
"""

# To make a home directory, where the administrator wants that; what the fork server itself has; what only somebody
# imports who takes tickets, or only somebody who gives up root.
SELDOM = {"shutil", "couriertcpd.forkserver", "couriertcpd.handover"}


@pytest.mark.parametrize(
    ("module", "others"),
    [("imapd.main", {"ctypes"}), ("imaplogin.imaplogin", {"hmac"}), ("imaplogin.launch", {"ctypes"})],
)
def test_nothing_is_left_to_import(module: str, others: set[str]) -> None:
    code = CODE.format(source=str(SOURCE), module=module)
    done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) - SELDOM - others == set()
