"""LOGIN: the user id and the password, each asked for (draft-murchison-sasl-login).

Old, but what some clients choose first.  An initial response is the user id.
"""

from __future__ import annotations

from authdaemond.sasl.mechanism import Mechanism, login_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.sasl.mechanism import Exchange


def _exchange(initial: bytes | None) -> Exchange:
    userid = initial or (yield b"Username:")
    password = yield b"Password:"
    return login_credentials(userid, password)


MECHANISMS = (Mechanism(b"LOGIN", _exchange),)
