"""Looking after connections that lie in a socket though processes wait there: nothing else bounds their wait.

Whoever has sent one has gone.  If those that wait are stuck, or fewer than they are counted for, nobody would take it.
"""

from __future__ import annotations

import select

SECONDS = 5.0  # between two looks


class Watch:
    """Looks at the receiving socket from time to time."""

    def __init__(self, descriptor: int, now: float) -> None:
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._due = now + SECONDS
        self._seen = False

    def wait(self, now: float) -> float:
        """Seconds until the next look."""
        return max(0.0, self._due - now)

    def taken(self) -> None:
        """Somebody has taken a connection: what is there at the next look may be another one."""
        self._seen = False

    def finds(self, idle: int, now: float) -> bool:
        """Whether a connection was there at this look and the last one, and none of `idle` that wait took any since."""
        if now < self._due:
            return False
        self._due = now + SECONDS
        before = self._seen
        self._seen = idle > 0 and any(event & select.POLLIN for _, event in self._poll.poll(0))
        return before and self._seen
