"""The goals for large mailboxes, each a ratio in one run: to the C Courier-IMAP or to Dovecot."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from tests.bench.measures import MEASURES

Figures = dict[str, dict[str, list[float]]]  # by measure and server, in the order of the rounds


class Goal(NamedTuple):
    """A measure of a server of ours beside that of another server: at most (or at least) so many times as much."""

    measure: str
    beside: str
    factor: float
    server: str = "ours"


GOALS = (
    Goal("select-many", "dovecot", 1),
    Goal("select-many-first", "courier", 1.2),
    Goal("flags", "dovecot", 1),
    Goal("list-first", "courier", 0.8),
    Goal("list", "dovecot", 0.7),
    Goal("envelope-first", "courier", 0.8),
    Goal("envelope", "dovecot", 0.2),
    Goal("structure-first", "courier", 1.2),
    Goal("structure", "dovecot", 1),
    Goal("headers-first", "courier", 0.8),
    Goal("headers", "dovecot", 0.3),
    Goal("search-subject", "dovecot", 0.05),
    Goal("search-from", "dovecot", 0.2),
    Goal("search-body-first", "courier", 0.7),
    Goal("search-body", "dovecot", 1),
    Goal("search-body", "dovecot", 0.05, "ours-fts"),
    Goal("sort-date-first", "courier", 0.6),
    Goal("sort-date", "dovecot", 1),
    Goal("sort-subject-first", "courier", 0.6),
    Goal("sort-subject", "dovecot", 1),
    Goal("thread-first", "courier", 0.7),
    Goal("thread", "dovecot", 0.1),
    Goal("bodies", "dovecot", 0.7),
    Goal("large", "dovecot", 0.6),
    Goal("append", "dovecot", 1),
    Goal("append-4", "dovecot", 1),
    Goal("store", "courier", 1 / 0.8),  # 0.8 of its speed
    Goal("copy", "dovecot", 1),
    Goal("expunge", "dovecot", 1 / 0.8),
    Goal("mixed", "dovecot", 1),
    Goal("mixed-p99", "dovecot", 1),
)
WRONG, MEMORY, MEMORY_KIB = "mixed-wrong", "memory-many", 6 * 1024  # these two are no ratios
NEEDED = tuple(dict.fromkeys([*(goal.measure for goal in GOALS), WRONG, MEMORY]))
SERVERS = ("ours", "courier", "dovecot", "ours-fts")


def ratio(figures: dict[str, list[float]], name: str, beside: str) -> float | None:
    """The median of the ratios of two servers, round by round."""
    one, other = figures.get(name), figures.get(beside)
    if not one or not other:
        return None
    ratios = [figure / standard for figure, standard in zip(one, other, strict=True) if standard]
    return statistics.median(ratios) if ratios else None


def _cells(row: tuple[str, ...]) -> str:
    title, found, goal, verdict = row
    return f"{title:<50}{found:>22}{goal:>28}  {verdict}"


def _row(figures: Figures, goal: Goal) -> tuple[str, ...]:
    title, _, more = MEASURES[goal.measure]
    title = title if goal.server == "ours" else f"{title} ({goal.server})"
    wanted = f"{'at least' if more else 'at most'} {goal.beside} x{goal.factor:.2f}"
    found = ratio(figures.get(goal.measure, {}), goal.server, goal.beside)
    if found is None:
        return title, "", wanted, "not measured"
    reached = found >= goal.factor if more else found <= goal.factor
    median = statistics.median(figures[goal.measure][goal.server])
    return title, f"{median:,.2f}   x{found:.3f}", wanted, "reached" if reached else "NOT REACHED"


def report(figures: Figures) -> str:
    """Each goal, what was found, and whether that is enough."""
    rows = [("", "ours", "goal", ""), *(_row(figures, goal) for goal in GOALS)]
    for measure, most in ((WRONG, 0.0), (MEMORY, MEMORY_KIB)):
        found = figures.get(measure, {}).get("ours")
        median = (max if measure == WRONG else statistics.median)(found) if found else None
        verdict = "not measured" if median is None else "reached" if median <= most else "NOT REACHED"
        shown = "" if median is None else f"{median:,.0f}"
        rows.append((MEASURES[measure].title, shown, f"at most {most:,.0f}", verdict))
    return "\n".join(map(_cells, rows))
