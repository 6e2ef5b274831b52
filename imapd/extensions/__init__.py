"""IMAP extensions, one file an RFC."""
