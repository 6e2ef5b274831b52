"""How a fork server tells processes that wait for connections to end: octets in a pipe, one for each that is to go.

Whichever of them is free takes one, so that none with a connection ends.  How many have heard their call is what is
missing in the pipe: one that ends for another reason, however it comes to that, is not taken for one that was called.
"""

from __future__ import annotations

import array
import fcntl
import os
import termios


class Retirement:
    """The calls to end at one descriptor, the read end, which the processes that are forked later have too."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write_end = -1
        self._open = 0  # calls that nobody has taken, or whose taker has not been seen to end
        self.renew()

    @property
    def calls(self) -> int:
        """So many of those that wait are not counted on any more."""
        return self._open

    def call(self, count: int) -> None:
        """Have so many end."""
        os.write(self._write_end, bytes(count))
        self._open += count

    def take_back(self, most: int) -> int:
        """Withdraw at most so many calls, which nobody has heard; returns how many."""
        try:
            count = len(os.read(self._descriptor, most))
        except BlockingIOError:
            return 0
        self._open -= count
        return count

    def explains_end(self) -> bool:
        """Whether a process that has ended was one of those that heard a call; that one is over then."""
        if self._open == self._unheard():
            return False
        self._open -= 1
        return True

    def _unheard(self) -> int:
        octets = array.array("i", [0])
        fcntl.ioctl(self._descriptor, termios.FIONREAD, octets)
        return octets[0]

    def renew(self) -> int:
        """Have all end that wait, and begin anew with those to come; returns how many calls there were."""
        read_end, write_end = os.pipe()
        os.dup2(read_end, self._descriptor, inheritable=False)
        os.close(read_end)
        os.set_blocking(self._descriptor, False)
        if self._write_end >= 0:
            os.close(self._write_end)
        calls, self._open, self._write_end = self._open, 0, write_end
        return calls
