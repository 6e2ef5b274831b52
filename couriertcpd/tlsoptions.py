"""couriertls's command line, which is the original's."""

from __future__ import annotations

_WITH_VALUE = frozenset(
    {"host", "port", "remotefd", "localfd", "statusfd", "printx509", "verify", "domain", "protocol", "user"}
)
_NUMBERS = ("remotefd", "localfd", "statusfd", "printx509")
_SWITCHES = frozenset({"server", "tcpd", "check", "passed"})
PROTOCOLS = ("imap", "pop3", "smtp")


class Misuse(Exception):
    """The command line is wrong; the text is one line that says what is."""


class Options:
    """What was asked for; a descriptor is -1, and a text empty, where nothing was said."""

    __slots__ = (
        "check", "domain", "host", "localfd", "passed", "port", "printx509", "program", "protocol", "remotefd",
        "server", "statusfd", "tcpd", "user", "verify",
    )  # fmt: skip

    def __init__(self, arguments: list[str]) -> None:
        """Read the arguments behind the program's name; raises Misuse."""
        given, self.program = _split(arguments)
        self.server, self.tcpd = "server" in given, "tcpd" in given
        self.check, self.passed = "check" in given, "passed" in given
        self.host, self.port = given.get("host", ""), given.get("port", "")
        self.verify, self.domain = given.get("verify", ""), given.get("domain", "")
        self.protocol, self.user = given.get("protocol", ""), given.get("user", "")
        self.remotefd, self.localfd, self.statusfd, self.printx509 = (_descriptor(given, name) for name in _NUMBERS)
        if self.protocol and self.protocol not in PROTOCOLS:
            raise Misuse(f"-protocol={self.protocol}: not one of {', '.join(PROTOCOLS)}")
        if not (self.check or self.tcpd or self.remotefd >= 0 or (self.host and self.port)):
            raise Misuse("specify remote location.")


def _split(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    for place, argument in enumerate(arguments):
        if not argument.startswith("-"):
            return given, arguments[place:]
        if argument == "-":
            return given, arguments[place + 1 :]
        name, equals, value = argument.removeprefix("-").partition("=")
        if name not in _WITH_VALUE and name not in _SWITCHES:
            raise Misuse(f"Invalid option: {argument}")
        if bool(equals) != (name in _WITH_VALUE):
            raise Misuse(f"-{name} {'takes no value' if equals else 'needs a value'}: {argument}")
        given[name] = value
    return given, []


def _descriptor(given: dict[str, str], name: str) -> int:
    value = given.get(name)
    if value is None:
        return -1
    if not value.isascii() or not value.isdigit() or len(value) > 5:
        raise Misuse(f"-{name}={value}: not the number of a descriptor")
    return int(value)
