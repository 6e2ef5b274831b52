"""What getmail delivers with: its own delivery to a Maildir can miss the end of the process that it starts for it.

It forks, then begins to listen for SIGCHLD, then waits; a child that is quicker is never heard of, and after a minute
the delivery has failed.  This one ends only when it is waited for.
"""

from __future__ import annotations

from pathlib import Path

from tests.clients.box import Box

# The state of getmail, and the bit of SIGCHLD among the signals that it catches.
_PROGRAM = r"""#!/bin/sh
until [ "$(sed 's/.*) \(.\).*/\1/' /proc/$PPID/stat)" = S ] &&
    [ $((0x$(sed -n 's/^SigCgt:[[:space:]]*//p' /proc/$PPID/status) & 0x10000)) -ne 0 ]
do :; done
cat > "$1/new/$$"
"""


def destination(box: Box, place: Path) -> str:
    """The section of a getmailrc that puts messages into new/ of this directory."""
    program = box.write("deliver", _PROGRAM)
    program.chmod(0o755)
    return f'[destination]\ntype = MDA_external\npath = {program}\narguments = ("{place}",)\n'
