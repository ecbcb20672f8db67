"""Load a server moderately for an hour, and check its resource usage and its answers.

`python -m tests.soak` starts the server itself; pytest does a run of a few seconds.
"""
