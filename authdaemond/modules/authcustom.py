"""authcustom: the place for a site's own accounts.  As it stands it has none and rejects everything.

A site that keeps its accounts in a way of its own replaces this file, or better adds one beside it and lists that in
authmodulelist.  What a back end must do is in authdaemond/backend.py; authpwd.py is the shortest complete one.  For a
program in another language there is authpipe.
"""

from authdaemond.backend import Backend

BACKEND = Backend
