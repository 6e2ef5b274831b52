"""Messages as threads (RFC 5256 section 3): ORDEREDSUBJECT and REFERENCES.

    ordered_subject(letters) -> Forest       by_references(letters) -> Forest
    render(forest, numbers) -> bytes         the threads as a THREAD response has them, each message by its number

`letters` stand in the order of their sequence numbers.  In a Forest they are known by their places; higher numbers
stand for messages that are not there ("dummies"), of which only roots are left in the end.  Nothing here is recursive.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Looking for loops stops after so many steps for each message: only made-up mail comes near.  Links that were not
# looked at are not made.
STEPS_FOR_EACH = 100

NOBODY = -1


class Letter:
    """What threading asks of a message; subject is the collation key of the base subject, b"" for none."""

    __slots__ = ("date", "id", "is_answer", "lineage", "subject")

    def __init__(self, date: int, subject: bytes, is_answer: bool, own_id: bytes, lineage: list[bytes]) -> None:
        self.date = date
        self.subject = subject
        self.is_answer = is_answer
        self.id = own_id
        self.lineage = lineage


class Forest:
    """Roots, and the children of those that have any, both in their final order."""

    __slots__ = ("children", "roots")

    def __init__(self, roots: list[int], children: dict[int, list[int]]) -> None:
        self.roots = roots
        self.children = children


def ordered_subject(letters: Sequence[Letter]) -> Forest:
    """Threads of equal base subjects: the eldest message, and the others as its children."""
    threads: dict[bytes, list[int]] = {}
    for place in sorted(range(len(letters)), key=lambda place: letters[place].date):
        threads.setdefault(letters[place].subject, []).append(place)
    # Found in the order of their first messages, which is the order of the threads.
    return Forest(
        [thread[0] for thread in threads.values()],
        {thread[0]: thread[1:] for thread in threads.values() if len(thread) > 1},
    )


def by_references(letters: Sequence[Letter]) -> Forest:
    """Threads of ancestry as the messages tell it, and of equal base subjects."""
    ranks = [0] * len(letters)
    for rank, place in enumerate(sorted(range(len(letters)), key=lambda place: letters[place].date)):
        ranks[place] = rank
    roots, children = _without_dummies(_linked(letters), len(letters))
    for siblings in children.values():
        siblings.sort(key=ranks.__getitem__)
    subjects = _Subjects(letters, ranks, roots, children)
    subjects.gather()
    return subjects.forest()


# Steps 1 and 2: parents, by place; places from len(letters) on are messages that were only spoken of.


def _linked(letters: Sequence[Letter]) -> list[int]:
    kinship = _Kinship(len(letters))
    places: dict[bytes, int] = {}
    for place, letter in enumerate(letters):
        if letter.id:
            places.setdefault(letter.id, place)  # a second message of one id is a message without
    for place, letter in enumerate(letters):
        elder = NOBODY
        for name in letter.lineage:
            known = places.get(name)
            if known is None:
                known = places[name] = kinship.add()
            elif known == place:
                continue
            if elder != NOBODY and kinship.parents[known] == NOBODY:
                kinship.link(elder, known)
            elder = known
        if kinship.parents[place] != elder:
            # What others say about this message's parent does not count against what it says itself.
            kinship.parents[place] = NOBODY
            if elder != NOBODY:
                kinship.link(elder, place)
    return kinship.parents


class _Kinship:
    """Who is whose parent."""

    __slots__ = ("_has_children", "_steps", "parents")

    def __init__(self, count: int) -> None:
        self.parents = [NOBODY] * count
        self._has_children = bytearray(count)
        self._steps = STEPS_FOR_EACH * count + 1000

    def add(self) -> int:
        """Somebody who is not there."""
        self.parents.append(NOBODY)
        self._has_children.append(0)
        return len(self.parents) - 1

    def link(self, parent: int, child: int) -> None:
        """Make child, who has no parent, one of parent's, unless that would make a loop."""
        if child == parent:
            return
        if self._has_children[child]:
            parents = self.parents
            elder = parents[parent]
            while elder not in (NOBODY, child) and self._steps > 0:
                elder = parents[elder]
                self._steps -= 1
            if elder != NOBODY:
                return
        self.parents[child] = parent
        self._has_children[parent] = 1


def _without_dummies(parents: list[int], count: int) -> tuple[list[int], dict[int, list[int]]]:
    """Step 3: roots and children; dummies are left only as roots of several children."""
    eldest = _resolved_dummies(parents, count)
    roots: list[int] = []
    children: dict[int, list[int]] = {}
    for place in range(count):
        parent = parents[place]
        if parent >= count:
            parent = eldest[parent]
        if parent == NOBODY:
            roots.append(place)
        else:
            children.setdefault(parent, []).append(place)
    for dummy in [parent for parent in children if parent >= count]:
        if len(children[dummy]) == 1:
            roots += children.pop(dummy)
        else:
            roots.append(dummy)
    return roots, children


def _resolved_dummies(parents: list[int], count: int) -> dict[int, int]:
    """For each dummy the next message above it, or where there is none the uppermost dummy, itself perhaps."""
    resolved: dict[int, int] = {}
    for dummy in range(count, len(parents)):
        path = []
        place = dummy
        while place not in resolved:
            path.append(place)
            parent = parents[place]
            if parent == NOBODY:
                resolved[place] = place
            elif parent < count:
                resolved[place] = parent
            else:
                place = parent
        found = resolved[place]
        for passed in path:
            resolved[passed] = found
    return resolved


class _Subjects:
    """Steps 4 to 6: threads of one base subject are put together, and all is brought in order."""

    __slots__ = ("_children", "_gone", "_letters", "_next_dummy", "_ranks", "_roots", "_table")

    def __init__(
        self, letters: Sequence[Letter], ranks: list[int], roots: list[int], children: dict[int, list[int]]
    ) -> None:
        self._letters = letters
        self._ranks = ranks
        self._children = children
        self._next_dummy = max(max(children, default=0) + 1, len(letters))
        self._roots = sorted(roots, key=self._rank)
        self._gone: set[int] = set()
        self._table: dict[bytes, int] = {}

    def _is_dummy(self, place: int) -> bool:
        return place >= len(self._letters)

    def _first(self, place: int) -> int:
        """The message that stands for a root: itself or its first child."""
        return self._children[place][0] if place >= len(self._letters) else place

    def _rank(self, place: int) -> int:
        return self._ranks[self._first(place)]

    def gather(self) -> None:
        """Step 5."""
        letters, table = self._letters, self._table
        for root in self._roots:
            subject = letters[self._first(root)].subject
            if not subject:
                continue
            held = table.setdefault(subject, root)
            if held == root or self._is_dummy(held):
                continue
            if self._is_dummy(root) or (letters[held].is_answer and not letters[root].is_answer):
                table[subject] = root
        for root in list(self._roots):
            subject = letters[self._first(root)].subject
            if subject and table[subject] != root:
                self._merge(root, table[subject], subject)

    def _merge(self, root: int, held: int, subject: bytes) -> None:
        """Put the thread of root to the one that the table holds for its subject."""
        self._gone.add(root)
        below = self._children.setdefault(held, []) if self._takes_in(root, held) else None
        if below is None:
            self._children[self._next_dummy] = [held, root]
            self._gone.add(held)
            self._roots.append(self._next_dummy)
            self._table[subject] = self._next_dummy
            self._next_dummy += 1
        elif self._is_dummy(root):
            below += self._children.pop(root)
        else:
            below.append(root)

    def _takes_in(self, root: int, held: int) -> bool:
        return self._is_dummy(held) or (self._letters[root].is_answer and not self._letters[held].is_answer)

    def forest(self) -> Forest:
        """Step 6."""
        for siblings in self._children.values():
            siblings.sort(key=self._ranks.__getitem__)
        roots = [root for root in self._roots if root not in self._gone]
        return Forest(sorted(roots, key=self._rank), self._children)


def render(forest: Forest, numbers: Sequence[int]) -> bytes:
    """The thread-lists of a THREAD response, one behind the other; b"" for none."""
    words = list(map(str, numbers))
    count = len(words)
    children = forest.children
    texts: list[str] = []
    add = texts.append
    waiting = forest.roots[::-1]
    while waiting:
        place = waiting.pop()
        if place == NOBODY:
            add(")")
            continue
        add("(")
        below = children.get(place)
        if place < count:
            add(words[place])
            while below is not None and len(below) == 1:
                add(" " + words[below[0]])
                below = children.get(below[0])
        if below is None:
            add(")")
            continue
        if place < count:
            add(" ")
        waiting.append(NOBODY)
        waiting += below[::-1]
    return "".join(texts).encode("ascii")
