"""Encryption at rest as it is configured: its mode, its keys, and where the keys come from."""
