"""authdaemonrc, as the daemon reads it: `name=value` or `name="value"`, one to a line, `#` begins a comment anywhere.

The wrapper has a shell read the same file, so only what means the same to both is understood.
"""

import re

from couriertcpd import environ, log

MAX_OCTETS = 1 << 20
MAX_DAEMONS = 500

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadLine(Exception):
    """The file cannot be used; the text is a log line."""


class Settings:
    """What a file says.  `modules` is None where it names none; `variables` is everything, for the environment."""

    __slots__ = ("daemons", "debug", "default_options", "directory", "modules", "variables")

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.modules = variables["authmodulelist"].split() if "authmodulelist" in variables else None
        self.daemons = _daemons(variables)
        self.directory = variables.get("authdaemonvar") or environ.text("authdaemonvar")
        self.default_options = self._or_environment("DEFAULTOPTIONS").encode("utf-8", "surrogateescape")
        self.debug = environ.atoi(self._or_environment("DEBUG_LOGIN"))

    def _or_environment(self, name: str) -> str:
        return self.variables.get(name, environ.text(name))


def read(path: str) -> Settings:
    """The settings of a file.  Raises BadLine, and OSError when the file cannot be read."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read(MAX_OCTETS + 1)
    if len(text) > MAX_OCTETS:
        raise BadLine(f"{path} is larger than {MAX_OCTETS} octets: this is no authdaemonrc")
    variables: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        name, equals, value = said.partition("=")
        unquoted = _unquoted(value.strip())
        if not equals or not _NAME.fullmatch(name) or unquoted is None:
            raise BadLine(f'Bad line in {path}: {said} (line {number}: write name=value or name="value")')
        variables[name] = unquoted
    return Settings(variables)


def _unquoted(value: str) -> str | None:
    quote = value[:1]
    if quote not in ('"', "'"):
        return None if '"' in value or "\0" in value else value
    inside, closing, rest = value[1:].partition(quote)
    return inside if closing and not rest.strip() and "\0" not in inside else None


def _daemons(variables: dict[str, str]) -> int:
    if "daemons" not in variables:
        log.err("Configuration error - missing 'daemons' setting, using 1")
        return 1
    number = environ.atoi(variables["daemons"])
    if not 1 <= number <= MAX_DAEMONS:
        log.err(f"Configuration error - 'daemons' must be 1 to {MAX_DAEMONS}, using 1")
        return 1
    return number
