"""What is measured: each measure talks to one server once and gives what its title names the unit of.

The clock runs only while the server works or the answer comes in; every answer is checked against the corpus after it
has stopped, and a wrong one ends the run: a figure of a wrong answer says nothing. (Under the mixed load wrong answers
are counted: they are a figure.)

Where a server may keep an index, "first" is for a mailbox that it has never seen and "again" for one that it was asked
the same about before, by another session, with time to put away what it wants to remember.
"""

from __future__ import annotations

from tests.bench import change, fetch, mixed, search, sessions, sort
from tests.bench.bench import Measures

MEASURES: Measures = {
    **sessions.MEASURES,
    **fetch.MEASURES,
    **search.MEASURES,
    **sort.MEASURES,
    **change.MEASURES,
    **mixed.MEASURES,
}
