"""Storage: Maildir++ folders and messages in the files of the original."""
