"""How the tools talk to people: passwords asked for without echo, output that may be cut off, complaints.

A password comes from a terminal or from standard input, never from the command line, where everybody can see it.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterable

MAX_ANSWER = 8192  # octets of one line of input


class Unanswered(Exception):
    """No usable answer; the text, which may be empty, is for people."""


def write(lines: Iterable[bytes]) -> None:
    """Write to standard output; a reader who has seen enough (`| head`) is no fault.  Raises OSError."""
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter would complain when it flushes what is left; that goes nowhere now.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Write one line to standard error."""
    print(text, file=sys.stderr)


def interactive() -> bool:
    """True when a person answers on standard input."""
    return sys.stdin.isatty()


def ask(prompt: str, echo: bool = True) -> bytes:
    """One line of standard input without its LF; the prompt shows on standard error, and only on a terminal.

    Raises Unanswered at the end of the input.
    """
    if not interactive():
        return _line()
    if not echo:
        return _without_echo(prompt)
    _show(prompt)
    return _line()


def new_password() -> bytes:
    """A password to be set: asked for twice on a terminal, else one line of standard input.  Raises Unanswered."""
    password = ask("Password: ", echo=False)
    if interactive() and ask("Reenter password: ", echo=False) != password:
        raise Unanswered("Passwords don't match.")
    return password


def _line() -> bytes:
    try:
        line = sys.stdin.buffer.readline(MAX_ANSWER + 2)
    except KeyboardInterrupt:
        raise Unanswered("") from None
    if not line:
        raise Unanswered("")
    answer = line.removesuffix(b"\n")
    if len(answer) > MAX_ANSWER:
        raise Unanswered(f"The answer is longer than {MAX_ANSWER} octets.")
    return answer


def _show(prompt: str) -> None:
    sys.stderr.write(prompt)
    sys.stderr.flush()


def _without_echo(prompt: str) -> bytes:
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    try:
        # First silent, then the prompt: what answers the prompt must not be seen.
        termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        _show(prompt)
        return _line()
    except KeyboardInterrupt:  # between the prompt and the reading
        raise Unanswered("") from None
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        _show("\n")
