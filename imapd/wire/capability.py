"""What the server announces (RFC 3501 §7.2.1), before login and after it, from one declaration.

The login stage and imapd must agree, and neither may announce what is not there.  Each feature that has a capability
has its word here; the administrator's own string (IMAP_CAPABILITY, which travels along from old configurations) keeps
its order, loses the words that nothing stands behind, and gets the ones that are missing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

BEFORE_LOGIN, AFTER_LOGIN = 1, 2
ALWAYS = BEFORE_LOGIN | AFTER_LOGIN

BASE = "IMAP4rev1"

# In the order in which words that the administrator's string lacks are added to it.
IMPLEMENTED = {
    BASE: ALWAYS,
    "UIDPLUS": ALWAYS,  # RFC 4315
    "CHILDREN": ALWAYS,  # RFC 3348
    "NAMESPACE": ALWAYS,  # RFC 2342
    "LITERAL+": ALWAYS,  # RFC 7888
    "UNSELECT": ALWAYS,  # RFC 3691
    "SASL-IR": BEFORE_LOGIN,  # RFC 4959
    "ID": ALWAYS,  # RFC 2971
    "IDLE": ALWAYS,  # RFC 2177
    "SORT": ALWAYS,  # RFC 5256, all three
    "THREAD=ORDEREDSUBJECT": ALWAYS,
    "THREAD=REFERENCES": ALWAYS,
    "XMAGICTRASH": ALWAYS,  # the original's, with IMAP_MOVE_EXPUNGE_TO_TRASH
    "ENABLE": ALWAYS,  # RFC 5161
}

# Words that follow from the connection, never from the administrator's string.
_STARTTLS, _LOGINDISABLED, _EXTERNAL, _AUTH = "STARTTLS", "LOGINDISABLED", "AUTH=EXTERNAL", "AUTH="


def switched_off(expunged_go_to_trash: bool, sorts: bool = True) -> tuple[str, ...]:
    """The words for `off` of text(), from the settings that decide them."""
    words = () if expunged_go_to_trash else ("XMAGICTRASH",)
    return words if sorts else (*words, "SORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES")


def configured(capability: str, capability_tls: str, tls: bool) -> str:
    """Which of the administrator's strings counts: IMAP_CAPABILITY, or over TLS IMAP_CAPABILITY_TLS if it is set."""
    return (capability_tls if tls else "") or capability or BASE


def text(
    base: str,
    adjust: str = "",
    *,
    tls: bool,
    authenticated: bool = False,
    mechanisms: "Collection[str]" = (),
    starttls: bool = False,
    tls_required: bool = False,
    external: bool = False,
    off: "Collection[str]" = (),
) -> str:
    """The words of a CAPABILITY response.

    `base` is the administrator's string; `adjust` is that of IMAP_EXTENSIONS: NAME announces a word that is otherwise
    left out (whoever writes it there answers for it), -NAME takes one away.
    `tls`: the connection is encrypted; `starttls`: it can become so; `tls_required`: nobody logs in before it is.
    `mechanisms`: the SASL mechanisms that exist; of these the ones that the strings name as AUTH= are announced, where
    somebody can log in.  `external`: a client certificate names an account.
    `off`: words that other settings have switched off.
    """
    state = AFTER_LOGIN if authenticated else BEFORE_LOGIN
    login_disabled = tls_required and not tls and not authenticated
    auth = () if authenticated or login_disabled else tuple((_AUTH + name).upper() for name in mechanisms)
    silenced = [word.upper() for word in off]
    backed = [word for word, states in IMPLEMENTED.items() if states & state and word.upper() not in silenced]
    words = _completed(base.split(), backed, auth)
    words = _adjusted(words, adjust.split(), auth)
    # As in the original the words of the connection stand before an ENABLE that was added.
    place = len(words) - (words[-1:] == ["ENABLE"])
    words[place:place] = _of_connection(authenticated or tls, starttls, login_disabled, external)
    return " ".join(words)


def _completed(named: list[str], backed: list[str], auth: "Collection[str]") -> list[str]:
    """The words of the administrator's string that something stands behind, once each, and those that it lacks."""
    behind = {*(word.upper() for word in backed), *auth}
    words: dict[str, str] = {}
    for word in named:
        if word.upper() in behind:
            words.setdefault(word.upper(), word)
    missing = [word for word in backed if word.upper() not in words]
    first = [word for word in missing if word == BASE]
    return [*first, *words.values(), *missing[len(first) :]]


def _adjusted(words: list[str], changes: list[str], auth: "Collection[str]") -> list[str]:
    """Apply the words of IMAP_EXTENSIONS, the later ones over the earlier."""
    for change in changes:
        name = change.removeprefix("-").upper()
        if change.startswith("-"):
            words = [word for word in words if word.upper() != name]
        elif _addable(name, auth) and name not in [word.upper() for word in words]:
            words = [*words, change]
    return words


def _addable(name: str, auth: "Collection[str]") -> bool:
    if name.startswith(_AUTH):
        return name in auth
    return name not in (_STARTTLS, _LOGINDISABLED)


def _of_connection(settled: bool, starttls: bool, login_disabled: bool, external: bool) -> list[str]:
    """The original's rule: STARTTLS where it can be had, else AUTH=EXTERNAL where a certificate gives a name."""
    words = [_STARTTLS] if starttls and not settled else []
    if login_disabled:
        words.append(_LOGINDISABLED)
    elif external and not words:
        words.append(_EXTERNAL)
    return words
