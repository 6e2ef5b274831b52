r"""Transcripts: what a client sends and a server answers, as text.

    # maildir: small                the Maildir to begin with (maildirs.BUILDERS); `# ` also begins comments
    # setting: NAME=VALUE           an environment setting of the server; any number of them
    # begins: connection            with the greeting, before login; the usual thing is to begin logged in
    # exits: 1                      the server's exit status, where it is not 0
    # protocol: pop3                where it is not imap

    C: a1 SELECT INBOX              the client sends this line
    C+ ab\r\n\x00                   the client sends these octets and no line end; \r \n \t \\ and \xNN are escapes
    C* 70000 x                      the same, so many times
    S: * 3 EXISTS                   the server sends exactly this line
    S~ \* OK \[UIDNEXT (?P<next>\d+)\] .*       a line that the regular expression matches as a whole
    S* * LIST () "." "INBOX"        lines that come in any order: as many as there are S* (and S*~) in a row
    S*~ \* LIST .*
    S+ ab\r\n                       exactly these octets
    S.                              the server closes the connection
    M: deliver . plain              somebody else does something to the Maildir (maildirs.ACTIONS)

`${next}` stands for what a group of that name has matched before; `${user}`, and for those that begin with the
connection `${password}` and `${plain}` (both for SASL PLAIN), are known from the start.
When the text has ended the client closes the connection, and the server must have nothing more to say.
"""

import re
import socket
from pathlib import Path

from tests.transcripts import maildirs

MAX_OCTETS = 1 << 20
SHOWN_OCTETS = 1000  # of what is sent at once, where a difference is told

_STEP = re.compile(r"(C:|C\+|C\*|S:|S~|S\*~|S\*|S\+|S\.|M:)(?: (.*))?\Z")
_HEADER = re.compile(r"# (maildir|setting|begins|exits|protocol): (.*)\Z")
_ESCAPE = re.compile(rb"\\(r|n|t|\\|x[0-9a-f]{2})")
_ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Step:
    """One line that does something."""

    def __init__(self, number: int, kind: str, text: str) -> None:
        self.number = number
        self.kind = kind
        self.text = text


class Transcript:
    """A file, read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maildir = "small"
        self.settings: dict[str, str] = {}
        self.begins = "login"
        self.protocol = "imap"
        self.exits = 0
        self.steps: list[Step] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                self._read(number, line)
            except (ValueError, KeyError) as error:
                raise ValueError(f"{path}:{number}: {error}: {line}") from error
        if not self.steps:
            raise ValueError(f"{path}: nothing happens in it")

    def _read(self, number: int, line: str) -> None:
        header = _HEADER.match(line)
        if header and not self.steps:
            self._set(header[1], header[2])
        elif line and not line.startswith("#"):
            step = _STEP.match(line)
            if step is None:
                raise ValueError("neither C nor S nor M nor comment")
            self.steps.append(Step(number, step[1], step[2] or ""))

    def _set(self, name: str, value: str) -> None:
        if name == "maildir":
            self.maildir = maildirs.BUILDERS[value].__name__
        elif name == "setting":
            setting, equals, content = value.partition("=")
            if not equals:
                raise ValueError("a setting is NAME=VALUE")
            self.settings[setting] = content
        elif name == "exits":
            self.exits = int(value)
        elif name == "protocol":
            self.protocol = {"imap": "imap", "pop3": "pop3"}[value]
        elif value in ("login", "connection"):
            self.begins = value
        else:
            raise ValueError("begins with login or connection")


class Difference(AssertionError):
    """The server did not say what the transcript says."""


class Player:
    """Plays one transcript over a connected socket."""

    def __init__(
        self, transcript: Transcript, connection: socket.socket, maildir: Path, variables: dict[str, str]
    ) -> None:
        self._transcript = transcript
        self._connection = connection
        self._maildir = maildir
        self._variables = variables
        self._received = b""
        self._said: list[str] = []

    def play(self) -> None:
        """Play it from the first line to the last; raises Difference."""
        steps = self._transcript.steps
        place = 0
        while place < len(steps):
            end = place + 1
            if steps[place].kind.startswith("S*"):
                while end < len(steps) and steps[end].kind.startswith("S*"):
                    end += 1
                self._unordered(steps[place:end])
            else:
                self._step(steps[place])
            place = end
        self._end()

    def expect_line(self, step: Step, pattern: str) -> "re.Match[str]":
        """Read a line, which the pattern must match; its groups become variables."""
        return self._matched(step, self._line(step), pattern)

    def send(self, octets: bytes) -> None:
        """Send octets to the server."""
        self._said.append("C " + ascii(octets[:SHOWN_OCTETS])[2:-1])
        try:
            self._connection.sendall(octets)
        except OSError as error:
            self._said.append(f"  ({error})")

    def _step(self, step: Step) -> None:
        if step.kind == "C:":
            self.send(self._filled(step.text).encode() + b"\r\n")
        elif step.kind == "C+":
            self.send(_unescaped(self._filled(step.text)))
        elif step.kind == "C*":
            count, _, text = step.text.partition(" ")
            self.send(_unescaped(text) * int(count))
        elif step.kind == "S:":
            self.expect_line(step, re.escape(self._filled(step.text)))
        elif step.kind == "S~":
            self.expect_line(step, self._filled(step.text, re.escape))
        elif step.kind == "S+":
            self._octets(step, _unescaped(self._filled(step.text)))
        elif step.kind == "S.":
            if self._more():
                raise self._difference(step, f"the connection goes on: {self._received!r}")
        else:
            name, *arguments = self._filled(step.text).split(" ")
            maildirs.ACTIONS[name](self._maildir, *arguments)
            self.changed()

    def changed(self) -> None:
        """Called when an action has changed the Maildir."""

    def _unordered(self, steps: list[Step]) -> None:
        open_steps = list(steps)
        for _ in steps:
            line = self._line(open_steps[0])
            for step in open_steps:
                quote = re.escape if step.kind == "S*~" else str
                pattern = self._filled(step.text, quote)
                match = re.fullmatch(pattern if step.kind == "S*~" else re.escape(pattern), line)
                if match:
                    self._variables.update(match.groupdict())
                    open_steps.remove(step)
                    break
            else:
                raise self._difference(open_steps[0], f"received, in no order expected: {line}")

    def _matched(self, step: Step, line: str, pattern: str) -> "re.Match[str]":
        match = re.fullmatch(pattern, line)
        if match is None:
            raise self._difference(step, f"received: {line}")
        self._variables.update(match.groupdict())
        return match

    def _line(self, step: Step) -> str:
        while b"\n" not in self._received:
            if len(self._received) > MAX_OCTETS or not self._more():
                raise self._difference(step, f"received no line, but {self._received!r} and the end")
        line, _, self._received = self._received.partition(b"\n")
        self._said.append("S " + ascii(line)[2:-1])
        if not line.endswith(b"\r"):
            raise self._difference(step, f"line without CR: {line!r}")
        return line[:-1].decode("utf-8", "backslashreplace")

    def _octets(self, step: Step, expected: bytes) -> None:
        while len(self._received) < len(expected):
            if not self._more():
                break
        received, self._received = self._received[: len(expected)], self._received[len(expected) :]
        self._said.append("S " + ascii(received)[2:-1])
        if received != expected:
            raise self._difference(step, f"received: {ascii(received)[2:-1]}")

    def _more(self) -> bool:
        try:
            octets = self._connection.recv(65536)
        except ConnectionResetError:
            octets = b""
        except TimeoutError:
            raise Difference(f"{self._transcript.path}: the server is silent\n" + "\n".join(self._said)) from None
        self._received += octets
        return bool(octets)

    def _end(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has closed it
        while self._more():
            pass
        if self._received:
            raise Difference(f"{self._transcript.path}: not expected at the end: {self._received!r}")

    def _filled(self, text: str, quote: "type[str] | object" = str) -> str:
        return _VARIABLE.sub(lambda match: quote(self._variables[match[1]]), text)  # type: ignore[operator]

    def _difference(self, step: Step, what: str) -> Difference:
        where = f"{self._transcript.path}:{step.number}"
        return Difference(f"{where}: {what}\nexpected: {step.kind} {step.text}\n\n" + "\n".join(self._said))


def _unescaped(text: str) -> bytes:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1]) or bytes([int(match[1][1:], 16)]), text.encode())
