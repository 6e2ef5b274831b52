"""Before authentication: the login stages.  Never imports maildir."""
