"""THREAD=REFERENCES as RFC 5256 section 3 has it, written down plainly from the corpus: what answers are compared with.

Slow, and no part of any server: messages are read by the standard library, threads are lists of nodes.
"""

from __future__ import annotations

import re
from email.message import Message
from email.utils import mktime_tz, parsedate_tz
from itertools import pairwise

from tests.bench import subjects
from tests.bench.mail import Corpus
from tests.bench.search import decoded

_ID = re.compile(r"<[^<>\s]+>")


class Node:
    """A message in its thread; number is 0 for one that is only referred to."""

    def __init__(self, number: int = 0, date: float = 0, subject: str = "") -> None:
        self.number = number
        self.date = date
        self.base, self.is_reply = subjects.base(subject)
        self.parent: Node | None = None
        self.children: list[Node] = []

    def adopt(self, child: Node) -> None:
        """Become the parent, unless that makes a loop."""
        above: Node | None = self
        while above is not None:
            if above is child:
                return
            above = above.parent
        if child.parent is not None:
            child.parent.children.remove(child)
        child.parent = self
        self.children.append(child)

    def key(self) -> tuple[float, int]:
        """What siblings are sorted by: a message that is not there counts as its first child."""
        return (self.date, self.number) if self.number else self.children[0].key()


def parents(corpus: Corpus) -> dict[int, int]:
    """The parent of each message that has one; for children of what is not there the negative of the first of them."""
    return parents_in(tree(corpus))


def tree(corpus: Corpus) -> list[Node]:
    """The threads, in order."""
    by_id: dict[str, Node] = {}
    nodes: list[tuple[Node, list[str]]] = []
    for number, (letter, arrived) in enumerate(zip(corpus.letters(), corpus.dates, strict=True), 1):
        own, known = _own(letter), Node(number, _date(letter, arrived), _subject(letter))
        if own and (own not in by_id or not by_id[own].number):
            by_id[own] = _filled(by_id.get(own), known)
            known = by_id[own]
        references = _references(letter)
        _link(references, by_id)
        if references:
            by_id[references[-1]].adopt(known)
        elif known.parent is not None:
            known.parent.children.remove(known)
            known.parent = None
        nodes.append((known, references))
    roots = _pruned([node for node in _all(by_id, nodes) if node.parent is None], at_root=True)
    for node in roots:
        _sort(node)
    roots.sort(key=Node.key)
    roots = _merged(roots)
    for node in roots:
        _sort(node)
    return sorted(roots, key=Node.key)


def _filled(there: Node | None, known: Node) -> Node:
    if there is None:
        return known
    there.number, there.date, there.base, there.is_reply = known.number, known.date, known.base, known.is_reply
    return there


def _all(by_id: dict[str, Node], nodes: list[tuple[Node, list[str]]]) -> list[Node]:
    return list({id(node): node for node in (*by_id.values(), *(node for node, _ in nodes))}.values())


def _link(references: list[str], by_id: dict[str, Node]) -> None:
    for name in references:
        by_id.setdefault(name, Node())
    for above, below in pairwise(references):
        if by_id[below].parent is None:
            by_id[above].adopt(by_id[below])


def _pruned(nodes: list[Node], at_root: bool) -> list[Node]:
    """Without what is not there, where it holds nothing together."""
    kept = []
    for node in nodes:
        node.children = _pruned(node.children, at_root=False)
        if node.number or (at_root and len(node.children) > 1):
            kept.append(node)
            for child in node.children:
                child.parent = node
            continue
        for child in node.children:
            child.parent = None
        kept += node.children
    return kept


def _sort(node: Node) -> None:
    for child in node.children:
        _sort(child)
    node.children.sort(key=Node.key)


def _topic(node: Node) -> tuple[str, bool]:
    """Base subject, and whether it is a reply, of a thread."""
    first = node if node.number else node.children[0]
    return first.base.upper(), first.is_reply


def _merged(roots: list[Node]) -> list[Node]:
    """Steps 5.B and 5.C: threads with one base subject become one."""
    table: dict[str, Node] = {}
    for node in roots:
        subject, is_reply = _topic(node)
        there = table.get(subject)
        if not subject:
            continue
        if there is None or (there.number and (not node.number or (_topic(there)[1] and not is_reply))):
            table[subject] = node
    kept: dict[int, Node] = {}
    gone: set[int] = set()
    for node in roots:
        subject, is_reply = _topic(node)
        there = table.get(subject)
        if id(node) in gone:
            continue
        if there is None or there is node or not subject:
            kept[id(node)] = node
        elif not there.number and not node.number:
            there.children += node.children
            _adopt_all(there)
        elif not there.number or (is_reply and not _topic(there)[1]):
            there.children.append(node)
            node.parent = there
        else:
            both = Node()
            both.children = [there, node]
            _adopt_all(both)
            gone.add(id(there))
            table[subject] = kept[id(both)] = both
    return [node for node in kept.values() if id(node) not in gone]


def _adopt_all(node: Node) -> None:
    for child in node.children:
        child.parent = node


def _own(letter: Message) -> str:
    found = _ID.findall(str(letter.get("Message-ID", "")))
    return found[0] if found else ""


def _references(letter: Message) -> list[str]:
    found = [name for name in _ID.findall(str(letter.get("References", "")))]
    found = found or _ID.findall(str(letter.get("In-Reply-To", "")))[:1]
    return list(dict.fromkeys(found))


def _subject(letter: Message) -> str:
    return decoded(str(letter.get("Subject", "")))


def _date(letter: Message, arrived: int) -> float:
    parsed = parsedate_tz(str(letter.get("Date", "")))
    try:
        return arrived if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError):
        return arrived


def parents_in(roots: list[Node]) -> dict[int, int]:
    """See parents()."""
    found = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.children:
            above = node.number or -min(child.number or child.key()[1] for child in node.children)
            found.update({child.number: above for child in node.children if child.number})
        stack += node.children
    return found
