"""After authentication: the POP3 server."""
