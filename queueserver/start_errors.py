"""The errors that keep the server from starting; the command prints them in one line."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting or a declared queue is wrong: what, where, and what is allowed."""


class StartError(Exception):
    """Anything else that keeps the server from starting, such as a port in use."""
