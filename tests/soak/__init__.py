"""Load a server moderately for an hour, and check what it used and what its clients saw.

`python -m tests.soak` starts the server itself; pytest does a run of a few seconds.
"""
