"""The contract of a stage, and how one becomes the next.

Descriptors 0 and 1 are the client in clear text, descriptor 2 is the log, the environment carries what is known, and
argv holds the stages to come.  A stage's `main(argv)` sees no more than that.
"""

import os
from collections.abc import Sequence

# Exit statuses of a stage (the djb convention): done, misuse or broken configuration, try again later.
DONE, MISUSE, TEMPORARY = 0, 100, 111


def become(argv: Sequence[str]) -> None:
    """Become the program argv[0] with arguments argv; returns only by raising OSError."""
    os.execvp(argv[0], list(argv))
