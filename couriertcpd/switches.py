"""Command-line options the way couriertcpd and courierlogger have always written them: -name or -name=value.

Options come first; the first word without a dash, or a lone dash, ends them.
"""

from collections.abc import Collection
from os import write


class Misuse(Exception):
    """The command line or the set-up is wrong; the text is the whole message for standard error."""


def split(argv: list[str], known: Collection[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Split argv into (name, value) options and operands; an option without `=` has the value "".  Raises Misuse."""
    given: list[tuple[str, str]] = []
    for position, word in enumerate(argv[1:], 1):
        if not word.startswith("-"):
            return given, argv[position:]
        if word == "-":
            return given, argv[position + 1 :]
        name, _, value = word[1:].partition("=")
        if name not in known:
            raise Misuse(f"{argv[0]}: Invalid option: {word}")
        given.append((name, value))
    return given, []


def complain(text: str) -> None:
    """Write a line to standard error without a level, as the original writes its own messages."""
    try:
        write(2, (text + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody is there to read it
