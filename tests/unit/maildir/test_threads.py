"""RFC 5256 section 3: the threads of small mailboxes, and made-up ones that must not take long."""

import re

import pytest

from maildir.threads import Letter, by_references, ordered_subject, render


def letters(*rows):
    """Letters from "date subject id references ..."; - is nothing, a subject with "re:" in front an answer's."""
    made = []
    for row in rows:
        date, subject, own, *lineage = row.split()
        is_answer = subject.startswith("re:")
        subject = "" if subject == "-" else subject.removeprefix("re:")
        own = "" if own == "-" else own
        made.append(Letter(int(date), subject.encode(), is_answer, own.encode(), [name.encode() for name in lineage]))
    return made


def references(*rows):
    return render(by_references(letters(*rows)), range(1, len(rows) + 1)).decode()


def subjects(*rows):
    return render(ordered_subject(letters(*rows)), range(1, len(rows) + 1)).decode()


def test_nothing():
    assert references() == ""
    assert subjects() == ""


@pytest.mark.parametrize(
    ("rows", "threads"),
    [
        (["1 a a", "2 b b"], "(1)(2)"),
        (["2 a a", "1 b b"], "(2)(1)"),
        (["1 a a", "2 b b a", "3 c c a b"], "(1 2 3)"),
        (["1 a a", "2 b b a", "3 c c a"], "(1 (2)(3))"),
        (["3 a a", "2 b b a", "1 c c a"], "(1 (3)(2))"),
        (["1 a a", "2 b b a", "3 c c b", "4 d d b"], "(1 2 (3)(4))"),
        # The message that is answered is not there: one answer stands for itself, two stand together.
        (["1 a a x"], "(1)"),
        (["1 a a x", "2 b b x"], "((1)(2))"),
        (["1 a a x y", "2 b b x z"], "((1)(2))"),
        (["1 a a", "2 b b a x", "3 c c a y"], "(1 (2)(3))"),
        # What a message says of its own parent counts more than what others say.
        (["1 c c b a", "2 a a", "3 b b"], "(2 1)(3)"),
        (["1 a a", "2 b b", "3 c c a b", "4 b2 b2 a"], "(1 (2 3)(4))"),
        # Loops, itself, ids that are there twice, and none.
        (["1 a a b", "2 b b a"], "(2 1)"),
        (["1 a a a"], "(1)"),
        (["1 a a", "2 b a a"], "(1 2)"),
        (["1 a a", "2 b a", "3 c c a"], "(1 3)(2)"),
        (["1 a -", "2 b -"], "(1)(2)"),
    ],
)
def test_kinship(rows, threads):
    assert references(*rows) == threads


@pytest.mark.parametrize(
    ("rows", "threads"),
    [
        (["1 s a", "2 re:s b"], "(1 2)"),
        (["1 re:s a", "2 s b"], "(2 1)"),
        (["1 s a", "2 s b"], "((1)(2))"),
        (["1 re:s a", "2 re:s b"], "((1)(2))"),
        (["1 s a", "2 s b", "3 re:s c"], "((1)(2)(3))"),
        (["1 s a", "2 re:s b", "3 s c"], "((1 2)(3))"),
        (["1 - a", "2 - b"], "(1)(2)"),
        # A root that is not there takes all of its subject in.
        (["1 s a x", "2 t b x", "3 s c"], "((1)(2)(3))"),
        (["2 s a x", "3 t b x", "1 s c"], "((3)(1)(2))"),
        (["1 s a x", "2 t b x", "3 s c y", "4 u d y"], "((1)(2)(3)(4))"),
        # Messages below do not count.
        (["1 s a", "2 t b a", "3 t c"], "(1 2)(3)"),
    ],
)
def test_subjects_put_threads_together(rows, threads):
    assert references(*rows) == threads


def test_dates_that_are_equal_leave_the_order():
    assert references("1 a a", "1 b b a", "1 c c a", "1 d d") == "(1 (2)(3))(4)"


@pytest.mark.parametrize(
    ("rows", "threads"),
    [
        (["1 a a", "2 b b"], "(1)(2)"),
        (["1 a a", "2 a b"], "(1 2)"),
        (["3 a a", "2 re:a b", "1 b c", "4 a d"], "(3)(2 (1)(4))"),
        (["1 a a", "1 a b", "1 a c"], "(1 (2)(3))"),
    ],
)
def test_ordered_subject(rows, threads):
    assert subjects(*rows) == threads


COUNT = 20_000


def chain(step):
    """Each message answers the one that comes next, or came before."""
    return [Letter(0, b"", False, b"%d" % place, [b"%d" % (place + step)]) for place in range(COUNT)]


def attached_at_the_end():
    """Small threads, one after the other put below the end of a long one."""
    deep = [Letter(0, b"", False, b"d%d" % place, [b"d%d" % (place - 1)]) for place in range(COUNT // 2)]
    small = [Letter(0, b"", False, b"c%d" % place, [b"s%d" % place]) for place in range(COUNT // 4)]
    late = [
        Letter(0, b"", False, b"s%d" % place, [b"d%d" % (COUNT // 2 - 1)]) for place in range(COUNT // 4)
    ]
    return [*deep, *small, *late]


def one_lineage_for_all():
    names = [b"n%d" % place for place in range(1000)]
    return [Letter(0, b"", False, b"", names) for _ in range(2000)]


@pytest.mark.parametrize(
    "made",
    [
        lambda: chain(1), lambda: chain(-1), attached_at_the_end, one_lineage_for_all,
        lambda: [Letter(0, b"s", False, b"", []) for _ in range(COUNT)],
        lambda: [Letter(0, b"s", True, b"", [b"x%d" % (place // 2)]) for place in range(COUNT)],
    ],
)  # fmt: skip
def test_made_up_mail_is_threaded_in_little_time_each_message_once(made):
    made_letters = made()
    for algorithm in (by_references, ordered_subject):
        told = render(algorithm(made_letters), range(1, len(made_letters) + 1))
        assert sorted(map(int, re.findall(rb"[0-9]+", told))) == list(range(1, len(made_letters) + 1))
        assert told.count(b"(") == told.count(b")")
