"""After authentication: the IMAP server."""
