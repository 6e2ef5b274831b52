"""SASL mechanisms, one file each."""
