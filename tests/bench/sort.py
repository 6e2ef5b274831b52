"""Measures of SORT and THREAD over all messages of a mailbox.

Where the RFC leaves no freedom the order is compared with what follows from the corpus: for the date, messages with one
date in the usual form, which ascend with their numbers; for the subject, those with one subject in ASCII (where two
are equal the RFC has the lower number first; the C Courier has not, nor quite the same base subjects). The others may
stand anywhere, but each message once. Threads are compared with those of tests/bench/threads.py: who is whose
parent, but for the few messages whose odd subjects, dates and message-ids leave room for opinions.
"""

from __future__ import annotations

import re
from email.message import Message
from functools import cache
from itertools import pairwise

from tests.answers import Response, Value
from tests.bench import subjects, threads
from tests.bench.bench import Bench, Measures, Run, first_and_again
from tests.bench.client import WrongAnswer
from tests.bench.mail import Corpus
from tests.bench.search import decoded
from tests.bench.threads import Node

_OPINIONS = 0.01  # of the messages may have another parent
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")


@cache
def _with_usual_date(corpus: Corpus) -> frozenset[int]:
    letters = enumerate(corpus.letters(), 1)
    return frozenset(number for number, letter in letters if _DATE.fullmatch(_only(letter, "Date") or ""))


@cache
def _subjects(corpus: Corpus) -> dict[int, str]:
    """The keys of messages with one subject in ASCII; in upper case, as i;unicode-casemap has it."""
    found = {}
    for number, letter in enumerate(corpus.letters(), 1):
        value = _only(letter, "Subject")
        text = None if value is None else decoded(value)
        if text is not None and text.isascii() and text.isprintable():
            found[number] = subjects.base(text)[0].upper()
    return found


def _only(letter: Message, name: str) -> str | None:
    """The value of a field that is there once."""
    values = letter.get_all(name, [])
    return str(values[0]) if len(values) == 1 else None


def _order(bench: Bench, run: Run, responses: list[Response]) -> list[int]:
    told = [int(str(value, "ascii")) for response in responses if response.kind == b"SORT" for value in response.values]
    bench.expect("messages sorted", sorted(told) == list(range(1, run.corpus.count + 1)), True)
    return told


def _check_date(bench: Bench, run: Run, responses: list[Response]) -> None:
    usual = _with_usual_date(run.corpus)
    told = [number for number in _order(bench, run, responses) if number in usual]
    wanted = sorted(usual, reverse=True)
    astray = [pair for pair in zip(told, wanted, strict=True) if pair[0] != pair[1]]
    bench.expect("places in SORT (REVERSE DATE) that another message should have", astray[:5], [])


def _check_subject(bench: Bench, run: Run, responses: list[Response]) -> None:
    keys = _subjects(run.corpus)
    told = [(keys[number], number) for number in _order(bench, run, responses) if number in keys]
    astray = [pair for pair in pairwise(told) if not (pair[0] < pair[1] if bench.is_ours else pair[0][0] <= pair[1][0])]
    allowed = 0 if bench.is_ours else _OPINIONS * len(told)
    bench.expect("messages in the wrong place in SORT (SUBJECT)", astray[:10] if len(astray) > allowed else [], [])


@cache
def _parents(corpus: Corpus) -> dict[int, int]:
    return threads.parents(corpus)


def _told(value: Value) -> Node:
    """A thread as THREAD tells it: numbers one below the other, then lists side by side."""
    assert isinstance(value, list)
    first = Node()
    last: Node | None = None
    for one in value:
        node = _told(one) if isinstance(one, list) else Node(int(str(one, "ascii")))  # type: ignore[arg-type]
        if last is None and not isinstance(one, list):
            first = last = node
            continue
        (last or first).children.append(node)
        last = last if isinstance(one, list) else node
    return first


def _numbers(node: Node) -> list[int]:
    found, stack = [], [node]
    while stack:
        node = stack.pop()
        found += [node.number] if node.number else []
        stack += node.children
    return found


def _check_threads(bench: Bench, run: Run, responses: list[Response]) -> None:
    roots = [_told(value) for response in responses if response.kind == b"THREAD" for value in response.values]
    numbers = sorted(number for root in roots for number in _numbers(root))
    bench.expect("messages in threads", numbers == list(range(1, run.corpus.count + 1)), True)
    found, wanted = threads.parents_in(roots), _parents(run.corpus)
    other = [(number, found.get(number), wanted.get(number)) for number in numbers]
    other = [one for one in other if one[1] != one[2]]
    if len(other) > _OPINIONS * run.corpus.count:
        raise WrongAnswer(f"{bench.name}: {len(other)} messages have other parents (number, told, right): {other[:10]}")
    usual = _with_usual_date(run.corpus)
    firsts = [root.number for root in roots if root.number in usual and root.number == min(_numbers(root))]
    back = [pair for pair in pairwise(firsts) if pair[0] > pair[1]]
    if len(back) > (0 if bench.is_ours else _OPINIONS * len(firsts)):
        raise WrongAnswer(f"{bench.name}: threads that do not follow their first messages' dates: {back[:10]}")


MEASURES: Measures = {
    **first_and_again("sort-date", "SORT (REVERSE DATE)", b"SORT (REVERSE DATE) US-ASCII ALL", _check_date, b"SORT"),
    **first_and_again("sort-subject", "SORT (SUBJECT)", b"SORT (SUBJECT) US-ASCII ALL", _check_subject, b"SORT"),
    **first_and_again(
        "thread", "THREAD REFERENCES", b"THREAD REFERENCES US-ASCII ALL", _check_threads, b"THREAD=REFERENCES"
    ),
}
