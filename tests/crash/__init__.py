"""Kill the server at random times under load of every kind, and check its clients' history.

`python -m tests.crash --crashes 200` is the long run; pytest does a short one.
"""
