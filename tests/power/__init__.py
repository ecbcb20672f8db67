"""Simulate power loss at random times, and check that the disk has all acknowledged operations.

A recorder logs the writes and syncs of a server. At a power loss, each write that was not synced
may be lost, torn, or kept although an earlier one is lost. `python -m tests.power --cuts 1000` is
the long run; pytest does a short one. It concerns SQLite only: PostgreSQL writes its own files.
"""
