"""REFERENCES as RFC 5256 section 3 has it, step by step on small mailboxes, and as it is done here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from maildir.threads import Letter, by_references, ordered_subject, render

_NAMES = some.sampled_from([b"a", b"b", b"c", b"d", b"e", b"x", b"y"])
_LETTERS = some.lists(
    some.builds(
        Letter, some.integers(0, 5), some.sampled_from([b"", b"S", b"T"]), some.booleans(),
        some.one_of(some.just(b""), _NAMES), some.lists(_NAMES, max_size=4),
    ),
    max_size=9,
)  # fmt: skip


class Container:
    """One node of the tree that the RFC speaks of."""

    def __init__(self, number: int | None = None) -> None:
        self.number = number
        self.parent: Container | None = None
        self.children: list[Container] = []

    def is_above(self, other: Container | None) -> bool:
        while other is not None:
            if other is self:
                return True
            other = other.parent
        return False

    def adopt(self, child: Container) -> None:
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)


def _step_1(letters: list[Letter]) -> list[Container]:
    messages = [Container(number) for number in range(len(letters))]
    by_name: dict[bytes, Container] = {}
    for letter, message in zip(letters, messages, strict=True):
        if letter.id:
            by_name.setdefault(letter.id, message)
    spoken_of: list[Container] = []
    for letter, message in zip(letters, messages, strict=True):
        before = None
        for name in letter.lineage:
            if name not in by_name:
                by_name[name] = Container()
                spoken_of.append(by_name[name])
            this = by_name[name]
            if this is message:
                continue
            if before is not None and this.parent is None and not this.is_above(before):
                before.adopt(this)
            before = this
        if message.parent is not before:
            if message.parent is not None:
                message.parent.children.remove(message)
                message.parent = None
            if before is not None and not message.is_above(before):
                before.adopt(message)
    return [*messages, *spoken_of]


def _pruned(container: Container, at_root: bool) -> list[Container]:
    """Step 3: what stands in its place."""
    container.children = [kept for child in container.children for kept in _pruned(child, at_root=False)]
    if container.number is not None:
        return [container]
    if at_root and len(container.children) > 1:
        return [container]
    return container.children


def _threads(letters: list[Letter]) -> str:
    def first(container: Container) -> int:
        return container.children[0].number if container.number is None else container.number

    def when(container: Container) -> tuple[int, int]:
        return letters[first(container)].date, first(container)

    def sort(container: Container) -> None:
        for child in container.children:
            sort(child)
        container.children.sort(key=when)

    everybody = _step_1(letters)
    roots = [kept for one in everybody if one.parent is None for kept in _pruned(one, at_root=True)]
    for root in roots:
        sort(root)
    roots.sort(key=when)
    table: dict[bytes, Container] = {}
    for root in roots:
        subject = letters[first(root)].subject
        held = table.get(subject)
        if not subject:
            continue
        if held is None or (
            held.number is not None
            and (root.number is None or (letters[held.number].is_answer and not letters[root.number].is_answer))
        ):
            table[subject] = root
    final = list(roots)
    for root in roots:
        subject = letters[first(root)].subject
        held = table.get(subject)
        if not subject or held is root or held is None:
            continue
        final.remove(root)
        if held.number is None:
            held.children += root.children if root.number is None else [root]
        elif root.number is not None and letters[root.number].is_answer and not letters[held.number].is_answer:
            held.children.append(root)
        else:
            table[subject] = both = Container()
            final.remove(held)
            both.children = [held, root]
            final.append(both)
    for root in final:
        sort(root)
    return "".join(f"({_told(root)})" for root in sorted(final, key=when))


def _told(container: Container) -> str:
    own = "" if container.number is None else str(container.number + 1)
    if not container.children:
        return own
    below = [_told(child) for child in container.children]
    if len(below) == 1 and own:
        return f"{own} {below[0]}"
    return (own + " " if own else "") + "".join(f"({one})" for one in below)


@given(_LETTERS)
def test_references(letters: list[Letter]) -> None:
    told = render(by_references(letters), range(1, len(letters) + 1))
    assert told.decode() == _threads(letters)


@given(_LETTERS)
def test_ordered_subject(letters: list[Letter]) -> None:
    threads: list[list[int]] = []
    for number in sorted(range(len(letters)), key=lambda number: (letters[number].subject, letters[number].date)):
        if threads and letters[threads[-1][0]].subject == letters[number].subject:
            threads[-1].append(number)
        else:
            threads.append([number])
    threads.sort(key=lambda thread: (letters[thread[0]].date, thread[0]))
    wanted = ""
    for first, *others in threads:
        below = [str(number + 1) for number in others]
        tail = f" {below[0]}" if len(below) == 1 else " " + "".join(f"({one})" for one in below) if below else ""
        wanted += f"({first + 1}{tail})"
    assert render(ordered_subject(letters), range(1, len(letters) + 1)).decode() == wanted
