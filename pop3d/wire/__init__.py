"""The POP3 grammar, without input or output: bytes in, bytes out.  Imports nothing else of the project."""
