"""The configuration files: NAME=value lines, in the words of /bin/sh.

The rc scripts have the shell read these files; programs that need a setting without a shell read them here.  Quotes,
comments, backslashes, `export`, $NAME and ${NAME} mean what they mean to a shell.  Programs run by the shell
(backquotes, `if`, `.`) are not for a configuration file, and are not understood.
"""

import re
from collections.abc import Iterator, Mapping

MAX_FILE = 1 << 20  # octets; a configuration file is a few dozen kilobytes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ASSIGNS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_EXPANSION = re.compile(r"\$[({0-9@*#?$!-]")  # those that are not _REFERENCE
_BLANKS = re.compile(r"(?:[ \t]|\\\n)*")
_COMMENT = re.compile(r"#[^\n]*")
_UNQUOTED_END = " \t\n;"
_NOT_FOR_US = "`&|<>()"


class BadConfiguration(Exception):
    """A line that is not an assignment: which file, which line (counted from 1), and its text."""

    def __init__(self, path: str, line: int, text: str) -> None:
        super().__init__(path, line, text)
        self.path = path
        self.line = line
        self.text = text

    def __str__(self) -> str:
        # What follows the = may be a password.
        begin = self.text.partition("=")[0].strip()[:60]
        return f'{self.path}:{self.line}: not understood, near "{begin}": write NAME=value or NAME="value"'


class _NotUnderstood(Exception):
    pass


def assignments(path: str, variables: Mapping[str, str] | None = None) -> Iterator[tuple[int, str, str]]:
    """Every assignment of the file in order, as (line, name, value); the last one of a name is the one that counts.

    variables are those that the file may refer to without having set them.  Raises BadConfiguration at the first line
    that is no assignment, and OSError.
    """
    for entry in entries(path, variables):
        if isinstance(entry, BadConfiguration):
            raise entry
        yield entry


def entries(
    path: str, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str, str] | BadConfiguration]:
    """As assignments(), but a line that is not understood is handed out in its place, and reading goes on."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        text = file.read(MAX_FILE + 1)
    if len(text) > MAX_FILE:
        raise BadConfiguration(path, 1, f"more than {MAX_FILE} octets")
    known = dict(variables or {})
    position = 0
    while position < len(text):
        start = position
        try:
            name, value, position = _statement(text, position, known)
        except _NotUnderstood:
            line_end = text.find("\n", start)
            position = len(text) if line_end < 0 else line_end + 1
            yield BadConfiguration(path, _line_number(text, start), text[start:position].rstrip("\n"))
            continue
        if name:
            known[name] = value
            yield _line_number(text, start), name, value


def _line_number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _statement(text: str, position: int, known: Mapping[str, str]) -> tuple[str, str, int]:
    """One assignment, or nothing (name "") for a blank, comment, or separator; and where the next begins."""
    position = _skip_blanks(text, position)
    if position == len(text):
        return "", "", position
    if text[position] in "\n;":
        return "", "", position + 1
    if text[position] == "#":
        return "", "", _end_of_comment(text, position)
    if text.startswith(("export ", "export\t"), position):
        return _exported(text, _skip_blanks(text, position + len("export ")), known)
    return _assignment(text, position, known)


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _end_of_comment(text: str, position: int) -> int:
    match = _COMMENT.match(text, position)
    return match.end() if match else position


def _exported(text: str, position: int, known: Mapping[str, str]) -> tuple[str, str, int]:
    """What follows `export`: an assignment, or the bare name of a variable, which is exported anyway."""
    name = _NAME.match(text, position)
    if name and text[name.end() : name.end() + 1] in ("", "\n", ";"):
        return "", "", name.end()
    return _assignment(text, position, known)


def _assignment(text: str, position: int, known: Mapping[str, str]) -> tuple[str, str, int]:
    name = _NAME.match(text, position)
    if name is None or text[name.end() : name.end() + 1] != "=":
        raise _NotUnderstood
    value, position = _word(text, name.end() + 1, known)
    # Another assignment may follow; a program, which would get these as its environment only, may not.
    after = _skip_blanks(text, position)
    if text[after : after + 1] not in ("", "\n", ";", "#") and not _ASSIGNS.match(text, after):
        raise _NotUnderstood
    return name.group(), value, position


def _word(text: str, position: int, known: Mapping[str, str]) -> tuple[str, int]:
    """A shell word: its value, and where it ends."""
    parts: list[str] = []
    while position < len(text) and text[position] not in _UNQUOTED_END:
        char = text[position]
        if char == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise _NotUnderstood
            parts.append(text[position + 1 : end])
            position = end + 1
        elif char == '"':
            part, position = _double_quoted(text, position + 1, known)
            parts.append(part)
        elif char == "\\":
            parts.append(text[position + 1 : position + 2].replace("\n", ""))
            position += 2
        elif char in _NOT_FOR_US:
            raise _NotUnderstood
        else:
            part, position = _plain_or_reference(text, position, known)
            parts.append(part)
    return "".join(parts), position


def _double_quoted(text: str, position: int, known: Mapping[str, str]) -> tuple[str, int]:
    parts: list[str] = []
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and text[position + 1 : position + 2] in ("$", '"', "\\", "`", "\n"):
            parts.append(text[position + 1].replace("\n", ""))
            position += 2
        elif text[position] == "`":
            raise _NotUnderstood
        else:
            part, position = _plain_or_reference(text, position, known)
            parts.append(part)
    if position >= len(text):
        raise _NotUnderstood
    return "".join(parts), position + 1


def _plain_or_reference(text: str, position: int, known: Mapping[str, str]) -> tuple[str, int]:
    """One character that stands for itself, or the value of $NAME or ${NAME}; an unset variable is empty."""
    if text[position] != "$":
        return text[position], position + 1
    reference = _REFERENCE.match(text, position)
    if reference:
        return known.get(reference.group(1) or reference.group(2), ""), reference.end()
    if _EXPANSION.match(text, position):
        raise _NotUnderstood
    return "$", position + 1
