"""Two stages of a chain that are small and do as their client says; with PREFORK they are fork servers like any other.

Each answers a line with a line: `how` (spare or exec), `pid`, `ppid`, `word` (the stage's name), `fds`, `env NAME`,
`argv`, `random`, `rehearsed`, `fail`, `next` (become the next stage), `leave`; anything else comes back as it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]

TALK = """
import os, random, select, signal, sys
from couriertcpd import environ, stage

rehearsed = False

class Over(Exception):
    pass

def _over(number, frame):
    raise Over

def line():
    octets = b""
    while not octets.endswith(b"\\n"):
        while not select.select([0], [], [], 0.2)[0]:
            pass  # a signal just before the wait does not end it; its handler runs here
        one = os.read(0, 1)
        if not one:
            raise EOFError
        octets += one
    return octets.decode().strip()

def descriptors():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.get_inheritable(int(name))))
        except OSError:
            pass
    return " ".join(f"{number}{'+' if inherited else '-'}" for number, inherited in sorted(found))

def answer(word, argv):
    if word == "how":
        return "spare" if "couriertcpd.spare" in sys.modules else "exec"
    if word in ("pid", "ppid"):
        return str(getattr(os, "get" + word)())
    if word.startswith("env "):
        return environ.text(word[4:], "unset")
    if word == "envs":
        return " ".join(sorted(name.decode() for name in environ.everything()))
    if word == "fds":
        return descriptors()
    if word == "argv":
        return repr(argv)
    if word == "random":
        return str(random.random())
    if word == "rehearsed":
        return str(rehearsed)
    if word == "fail":
        raise ValueError("a secret")
    return word

def talk(name, argv):
    signal.signal(signal.SIGTERM, _over)
    try:
        while True:
            word = line()
            if word == "next":
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                stage.become(argv[1:])
            elif word == "leave":
                return 0
            elif word == "word":
                os.write(1, name.encode() + b"\\n")
            else:
                os.write(1, answer(word, argv).encode() + b"\\n")
    except EOFError:
        return 0
    except Over:
        os.write(1, b"BYE " + name.encode() + b"\\n")
        return 0
"""

FIRST = """
import talk

REUSABLE = True

def rehearse():
    talk.rehearsed = True

def next_stage(argv):
    return argv[1:] or None

def main(argv):
    return talk.talk("first", argv)
"""

SECOND = """
from talk import talk

def main(argv):
    return talk("second", argv)
"""

PROGRAM = """#!{python} -IS
# courier-imap stage: {name}
import sys
sys.path[:0] = [{project!r}, {folder!r}]
from couriertcpd import stage
stage.run("{name}", sys.argv)
"""


def make(folder: Path) -> tuple[str, ...]:
    """Make the modules and their programs in the folder; returns the words of the chain."""
    for name, text in (("talk", TALK), ("first", FIRST), ("second", SECOND)):
        (folder / f"{name}.py").write_text(text)
    return (program(folder, "first"), program(folder, "second"), "Maildir")


def program(folder: Path, name: str) -> str:
    """Make the program of a stage, whose module is in the same folder."""
    path = folder / f"{name}.stage"
    path.write_text(PROGRAM.format(python=sys.executable, name=name, project=str(PROJECT), folder=str(folder)))
    path.chmod(0o755)
    return os.fspath(path)
