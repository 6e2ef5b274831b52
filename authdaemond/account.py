"""What a successful authentication yields: the record that authdaemond answers with."""


class Account:
    """One mail account.  Empty bytes mean that the back end has nothing to say.

    `uid` is set by back ends with numeric accounts, `username` by those whose accounts are the system's.  `home` is a
    path, `maildir` a path relative to it; `options` is `name=value,name`.  `passwd` is a stored hash and `passwd2` the
    password in clear text: neither may reach a log, and repr() shows neither.  `ticket` is what the daemon has signed
    for whoever is to become this account (authdaemond.ticket).
    """

    __slots__ = (
        "address",
        "fullname",
        "gid",
        "home",
        "maildir",
        "options",
        "passwd",
        "passwd2",
        "quota",
        "ticket",
        "uid",
        "username",
    )

    def __init__(
        self, address: bytes, home: bytes, gid: int, uid: int | None = None, username: str | None = None
    ) -> None:
        self.address = address
        self.home = home
        self.gid = gid
        self.uid = uid
        self.username = username
        self.fullname = b""
        self.maildir = b""
        self.quota = b""
        self.passwd = b""
        self.passwd2 = b""
        self.options = b""
        self.ticket = b""

    def __repr__(self) -> str:
        return f"Account(address={self.address!r}, home={self.home!r}, uid={self.uid}, username={self.username!r})"
