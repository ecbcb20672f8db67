"""Encryption at rest: master keys, data keys, and the contents that they encrypt."""
