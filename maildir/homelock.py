"""The administrator's lock on an account: the sticky bit on its home directory."""

import os
import stat


def locked() -> bool:
    """True when the working directory, the home, has the sticky bit (`chmod +t $HOME`) or cannot be looked at."""
    try:
        return bool(os.stat(".").st_mode & stat.S_ISVTX)
    except OSError:
        return True
