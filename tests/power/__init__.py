"""Cut the power at any moment, and hold what a disk then has against what was acknowledged.

A server's writes and syncs are recorded; of those that were not synced at a moment, any may be
lost, torn, or kept before others. `python -m tests.power --cuts 1000` runs the long setting; pytest
runs a short one. SQLite only: PostgreSQL's disk is PostgreSQL's.
"""
