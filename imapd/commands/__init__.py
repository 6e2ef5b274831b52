"""The commands of IMAP4rev1, one file each."""
