"""A moderate load of every kind that goes on for an hour, and what the server is after it.

`python -m tests.soak` starts the server itself; pytest runs a few seconds of it.
"""
