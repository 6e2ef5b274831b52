"""A fork server's count of the processes that wait is right, in whatever order they take connections, end and die."""

from __future__ import annotations

import os
import select
from types import SimpleNamespace

from hypothesis import example, given
from hypothesis import strategies as st

from couriertcpd import leftover, spare
from couriertcpd.forkserver import Server
from couriertcpd.pool import Pool
from couriertcpd.retirement import Retirement

LEAST, MOST = 2, 16
STEPS = ("fork", "take", "free", "hear", "die", "end", "thin out", "keep", "notice", "replace")


class World:
    """A fork server without processes: pipes stand for them, and steps are what they and it would do."""

    def __init__(self, reuse: bool) -> None:
        self.server = server = object.__new__(Server)
        self.calls = os.open(os.devnull, os.O_RDONLY)
        server._retirement = Retirement(self.calls)
        server._pool = Pool(LEAST, MOST, reuse)
        server._poll, server._handlers = select.poll(), {}
        server._module = SimpleNamespace(__name__="stage")  # type: ignore[assignment]
        server._waiting, server._busy, server._unexplained, server._outdated = {}, set(), set(), set()
        server._reuse, server._told = reuse, None
        server._leftover = leftover.Watch(self.calls, 0.0)
        server._stale, server._look_again = (lambda: True), 0.0
        self.reuse = reuse
        self.free: dict[int, int] = {}  # that wait: the end they write to, by the server's
        self.busy: dict[int, int] = {}
        self.forgotten: set[int] = set()  # free ones that the call to all of them has not reached yet

    def step(self, what: str, which: int) -> None:
        """One thing happens, if there is somebody it can happen to."""
        {
            "fork": self.fork, "take": self.take, "free": self.come_back, "hear": self.hear, "die": self.die,
            "end": self.end, "thin out": self.thin_out, "keep": self.keep, "notice": self.notice,
            "replace": self.replace,
        }[what](which)  # fmt: skip

    def fork(self, _: int) -> None:
        if len(self.server._waiting) < MOST:
            read_end, write_end = os.pipe2(os.O_NONBLOCK)
            self.server._pool.forked()
            self.server._waiting[read_end] = 0
            self.server._watch(read_end, lambda: None)
            self.free[read_end] = write_end

    def take(self, which: int) -> None:
        if self.free:
            one = self._choose(self.free, which)
            os.write(self.free[one], spare.TAKEN)
            if self.reuse:
                self.busy[one] = self.free.pop(one)
            else:
                self._close(self.free, one)  # nobody looks at it any more

    def come_back(self, which: int) -> None:
        if self.reuse and self.busy:
            one = self._choose(self.busy, which)
            os.write(self.busy[one], spare.FREE)
            self.free[one] = self.busy.pop(one)

    def hear(self, which: int) -> None:
        if not self.free:
            return
        one = self._choose(self.free, which)
        try:
            if one not in self.forgotten:
                os.read(self.calls, 1)
        except BlockingIOError:
            return
        self._close(self.free, one)

    def die(self, which: int) -> None:
        if self.free:
            self._close(self.free, self._choose(self.free, which))

    def end(self, which: int) -> None:
        if self.busy:
            self._close(self.busy, self._choose(self.busy, which))

    def thin_out(self, which: int) -> None:
        self.server._pool.target = LEAST
        self.server._thin_out(float(which))

    def keep(self, which: int) -> None:
        if self.server._retirement.calls:
            self.server._keep(1 + which % 3)

    def replace(self, which: int) -> None:
        self.forgotten = {*self.free, *self.busy}
        self.server._look_again = 0.0
        self.server._replace_stale(1.0)

    def notice(self, which: int) -> None:
        if self.server._waiting:
            self.server._child_spoke(self._choose(self.server._waiting, which))

    def all_noticed(self) -> None:
        for one in list(self.server._waiting):
            for _ in range(100):
                if one in self.server._waiting:
                    self.server._child_spoke(one)

    def _close(self, among: dict[int, int], one: int) -> None:
        os.close(among.pop(one))
        self.forgotten.discard(one)

    @staticmethod
    def _choose(among: dict[int, int], which: int) -> int:
        return sorted(among)[which % len(among)]

    def close(self) -> None:
        for one in [*self.free.values(), *self.busy.values(), *self.server._waiting]:
            os.close(one)
        os.close(self.server._retirement._write_end)
        os.close(self.calls)


@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 15)), max_size=60),
)
@example(False, [("fork", 0)] * 4 + [("thin out", 0), ("die", 0), ("notice", 0), ("keep", 2)])
def test_no_process_is_counted_on_that_does_not_wait(reuse: bool, steps: list[tuple[str, int]]) -> None:
    """Else none would be forked when the last has gone, and clients wait for ever."""
    world = World(reuse)
    try:
        for what, which in steps:
            world.step(what, which)
        world.all_noticed()
        unheard = world.server._retirement._unheard()
        assert world.server._pool.idle == len(world.free) - unheard
        assert world.server._retirement.calls == unheard
    finally:
        world.close()
