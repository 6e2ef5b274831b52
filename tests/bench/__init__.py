"""Figures: our server beside the C Courier-IMAP and Dovecot, in one run."""
