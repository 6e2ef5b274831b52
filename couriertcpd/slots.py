"""The slots: how many connections there are, in all, from one address and from one network block.

A slot is a pipe.  The processes of a connection hold the write end, whichever program they have become; when the last
of them has gone the kernel hangs up the read end, also after kill -9, so a slot can neither leak nor be freed early.
What they write there (slotnote.py) is read for couriertcpd's status only; neither end ever blocks.
"""

import os
import time
from collections import Counter

from couriertcpd import slotnote
from couriertcpd.options import Limits


class Slot:
    """One connection's place: taken when it is accepted, free when its processes have gone.

    `address` (16 octets) is None until it is known and the connection admitted.  `pid` is its first process: 0 before
    and after, and when it is none of our children.  `group` is the group of its processes.  `since` is the time when
    the connection was accepted, `limit` how many its address may have, `told` what its stages say of it.
    """

    __slots__ = ("address", "group", "hung_up", "limit", "pid", "read_end", "since", "told", "write_end")

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.told = slotnote.Told()
        self.since = 0.0
        self.limit = 0
        self.address: bytes | None = None
        self.pid = self.group = 0
        self.hung_up = False

    def hand_over(self) -> None:
        """Close the write end: from now on only the connection's processes hold it."""
        os.close(self.write_end)
        self.write_end = -1

    def close(self) -> None:
        """Close what is still open of the pipe."""
        for descriptor in (self.read_end, self.write_end):
            if descriptor >= 0:
                os.close(descriptor)
        self.read_end = self.write_end = -1


class Table:
    """Counts the slots that are taken."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken: set[Slot] = set()
        self._by_pid: dict[int, Slot] = {}
        self._per_address: Counter[bytes] = Counter()
        self._per_block: Counter[bytes] = Counter()

    def full(self) -> bool:
        """True when no further connection may be accepted."""
        return len(self.taken) >= self.limits.maxprocs

    def take(self, slot: Slot) -> None:
        """Count a connection whose address is not known yet."""
        slot.since = time.time()
        self.taken.add(slot)

    def count(self, address: bytes) -> int:
        """How many connections this address has."""
        return self._per_address[address]

    def counts(self) -> list[tuple[bytes, int]]:
        """Every address that has connections, and how many."""
        return sorted(self._per_address.items())

    def block_counts(self) -> list[tuple[bytes, int]]:
        """Every block that has connections, by its 15 octets, and how many."""
        return sorted(self._per_block.items())

    def count_block(self, address: bytes) -> int:
        """How many connections there are from the block of this address: all but its last octet."""
        return self._per_block[address[:-1]]

    def assign(self, slot: Slot, address: bytes, pid: int, group: int = 0) -> None:
        """Count the slot for its address too, and remember its first process and that one's group.

        A connection that was handed to a process which waited for it has no first process here: pid is 0.
        """
        if slot.address is None:
            slot.address = address
            self._per_address[address] += 1
            self._per_block[address[:-1]] += 1
        slot.pid, slot.group = pid, group or pid
        if pid:
            self._by_pid[pid] = slot

    def reaped(self, pid: int) -> Slot | None:
        """Note that a process has been waited for; returns the slot if that frees it."""
        slot = self._by_pid.pop(pid, None)
        if slot is None:
            return None
        slot.pid = 0
        return slot if slot.hung_up else None

    def hung_up(self, slot: Slot) -> bool:
        """Note that nobody holds the slot's pipe; true if that frees it: the first process has been waited for too."""
        slot.hung_up = True
        return slot.pid == 0

    def release(self, slot: Slot) -> None:
        """The slot is free."""
        self.taken.discard(slot)
        slot.close()
        if slot.address is None:
            return
        for counter, key in ((self._per_address, slot.address), (self._per_block, slot.address[:-1])):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
