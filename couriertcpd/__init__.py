"""Processes and descriptors: what every stage of the chain is made of.  Knows no protocol and no mail."""
