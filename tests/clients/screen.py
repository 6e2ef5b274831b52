"""A terminal for clients that want one: types keys, and waits for what they draw."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

pyte = pytest.importorskip("pyte")

_SECONDS = 120
_COLUMNS, _LINES = 110, 30


class Screen:
    """A program on a terminal of its own; when it is left, so is the program, whatever it was doing."""

    def __init__(self, argv: list[str], identity: dict[str, Any]) -> None:
        self._display = pyte.Screen(_COLUMNS, _LINES)
        self._stream = pyte.ByteStream(self._display)
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            argv,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **identity,
        )
        os.close(terminal)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, where: TracebackType | None) -> None:
        os.close(self._master)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def text(self) -> str:
        """What is drawn."""
        return "\n".join(line.rstrip() for line in self._display.display)

    def line(self, text: str) -> str:
        """The drawn line that holds the text."""
        return next(line for line in self._display.display if text in line)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def until(self, *texts: str, gone: str | None = None) -> None:
        """Wait until all the texts are drawn, and the one that is to be gone no longer is."""
        self._read_until(
            lambda: all(text in self.text() for text in texts) and (gone is None or gone not in self.text()), texts
        )

    def answer(self, key: str, question: str) -> None:
        """Press the key until the question is gone: Alpine throws away what was typed before it began to listen."""
        self.until(question)
        for _ in range(_SECONDS):
            self.type(key)
            if self._read_until(lambda: question not in self.text(), "an answer", 1, needed=False):
                return
        raise AssertionError(f"no answer is taken:\n{self.text()}")

    def end(self) -> None:
        """Wait until the program has ended well."""
        self._read_until(lambda: False, "the end")
        assert self._process.wait(_SECONDS) == 0, self.text()

    def _read_until(
        self, condition: Callable[[], bool], what: object, seconds: float = _SECONDS, *, needed: bool = True
    ) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            ready = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))[0]
            if not ready and not needed:
                return False
            assert ready, f"waiting for {what}:\n{self.text()}"
            try:
                drawn = os.read(self._master, 65536)
            except OSError:  # Linux says EIO when the last program has left the terminal
                drawn = b""
            if not drawn:
                assert what == "the end", f"ended instead of {what}:\n{self.text()}"
                return True
            self._stream.feed(drawn)
        return True
