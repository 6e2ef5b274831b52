"""How many processes of a stage wait for connections: policy without a process or a clock in it.

Times are monotonic seconds that the caller passes in.
"""

from __future__ import annotations

SETTLE_SECONDS = 10.0  # without the pool having run dry, before it shrinks by a step
LONGEST_PAUSE_SECONDS = 60.0
LINGER_SECONDS = 0.05  # before a few that are missing are replaced: first their connections, and then several at once


class Throttle:
    """When something that fails may be tried again: at once, then after 1, 2, 4 ... 60 seconds."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0

    def failed(self, now: float) -> float:
        """It failed once more; returns the pause in seconds."""
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - 1)) if self._failures else 0.0
        self._failures = min(self._failures + 1, 10)
        self._not_before = max(self._not_before, now + pause)
        return pause

    def worked(self) -> None:
        """It did what it is for; the next failure is the first again."""
        self._failures = 0
        self._not_before = 0.0

    def pause(self, now: float) -> float:
        """Seconds until it may be tried; 0 for now."""
        return max(0.0, self._not_before - now)


class Pool:
    """Counts the waiting processes of one stage.

    There are `least` of them at least.  When a burst takes the last one, twice as many are wanted, up to `most`; when
    some have not been needed for a while, half of those are too many.

    They are replaced when half of them are missing, or a moment after the first has gone: several forks in a row cost
    less, and one at once would compete with the service of the very connection that caused it.
    With reuse they come back after their connection, so that it takes the half, or one that has died: that one may have
    been woken for a connection, of which only a process that is forked afterwards hears.
    """

    def __init__(self, least: int, most: int, reuse: bool = False) -> None:
        self.least = least
        self.most = max(least, most)
        self.idle = 0
        self.target = least
        self._reuse = reuse
        self._lowest = 0  # the fewest idle since _since
        self._since: float | None = None
        self._short_since: float | None = None
        self._died = False  # one that waited, since the last fork
        self._throttle = Throttle()

    def forked(self) -> None:
        """One more waits."""
        self.idle += 1
        self._short_since = None
        self._died = False

    def taken(self, now: float) -> None:
        """One of them has got a connection."""
        self._left()
        self._throttle.worked()
        if self.idle == 0 and self.target < self.most:
            self.target = min(self.most, 2 * self.target)
            self._since, self._lowest = now, 0

    def freed(self) -> None:
        """One that had a connection waits again (reuse); it will be needed as it was before, if load stays the same."""
        self.idle += 1
        self.target = min(self.most, max(self.target, self.idle))

    def retired(self) -> None:
        """One ended because there were too many."""
        self._left()

    def failed(self, now: float) -> float:
        """One ended without having got a connection; returns for how long none is forked."""
        self._left()
        self._died = True
        return self.not_forked(now)

    def not_forked(self, now: float) -> float:
        """The system had no process for us; returns for how long none is forked."""
        return self._throttle.failed(now)

    def _left(self) -> None:
        self.idle -= 1
        self._lowest = min(self._lowest, self.idle)

    def missing(self, now: float) -> int:
        """How many to fork now."""
        if self._throttle.pause(now) > 0 or self._lingers(now) != 0:
            return 0
        return self.target - self.idle

    def _lingers(self, now: float) -> float | None:
        """Seconds until some are to be forked; None when none is missing, or those will come back."""
        if self.idle >= self.target:
            self._short_since = None
            return None
        if 2 * self.idle <= self.target:
            return 0.0
        if self._reuse and not self._died:
            return None
        if self._short_since is None:
            self._short_since = now
        return max(0.0, self._short_since + LINGER_SECONDS - now)

    def surplus(self, now: float) -> int:
        """How many of those that wait are too many now."""
        if self._since is None:
            self._since, self._lowest = now, self.idle
        elif now - self._since >= SETTLE_SECONDS:
            unneeded = max(0, self._lowest)
            self.target = max(self.least, self.target - (unneeded + 1) // 2)
            self._since, self._lowest = now, self.idle
        return max(0, self.idle - self.target)

    def wait(self, now: float) -> float | None:
        """Seconds until missing() or surplus() may say something else by itself; None for never."""
        lingers = self._lingers(now)
        if lingers is not None:
            return max(lingers, self._throttle.pause(now))
        if self.target > self.least and self._since is not None:
            return max(0.0, self._since + SETTLE_SECONDS - now)
        return None
