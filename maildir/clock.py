"""Whether this host and the file system agree on the time.

Names, uid validity and the age of locks rest on it; over NFS the times of files are those of the server.
"""

import time

from maildir import fs

CHECK = b"courier-imap.clockskew.chk"
TOLERANCE_SECONDS = 30


def skewed(root: bytes = b".") -> bool:
    """True when a file made now is dated more than TOLERANCE_SECONDS away from now; OSError when none can be made.

    The file is tmp/courier-imap.clockskew.chk, as the original's; one that is left over is replaced.
    """
    path = root + b"/tmp/" + CHECK
    try:
        fs.unlink(path)
    except FileNotFoundError:
        pass
    try:
        descriptor = fs.create(path)
    except FileExistsError:
        return False  # another session is checking this very moment
    try:
        return abs(fs.fstat(descriptor).st_mtime - time.time()) > TOLERANCE_SECONDS
    finally:
        fs.close(descriptor)
        try:
            fs.unlink(path)
        except FileNotFoundError:
            pass
