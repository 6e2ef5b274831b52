"""Signals for a poll loop: each one is noted, and makes a descriptor readable."""

import os
import signal
from types import FrameType

NOTED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Wakeup:
    """Notes signals (unless told, SIGTERM, SIGINT, SIGHUP and SIGCHLD); poll() `descriptor` and ask which came."""

    def __init__(self, numbers: tuple[signal.Signals, ...] = NOTED) -> None:
        self.descriptor, self._write_end = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._write_end, False)
        self._came: set[int] = set()
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(number)

    def drain(self) -> None:
        """Make the descriptor quiet.

        An octet can be left when there is nothing to tell: of a signal that came() was in time to take note of.
        """
        try:
            while len(os.read(self.descriptor, 4096)) == 4096:
                continue
        except BlockingIOError:
            pass  # a full pipe drops octets, which is why the handler keeps the truth

    def pending(self) -> bool:
        """Whether came() has something to tell: a signal may come after poll() has looked at the descriptor."""
        return bool(self._came)

    def came(self) -> frozenset[int]:
        """The signals since the last call; makes the descriptor quiet."""
        self.drain()
        came = frozenset(self._came)
        self._came -= came
        return came
