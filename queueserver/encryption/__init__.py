"""The configuration of encryption at rest: its mode, its keys, and the sources of the keys."""
