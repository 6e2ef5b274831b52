"""Seeded mail: what a mailbox of years looks like, in every MIME shape."""
