"""Kill the server at random moments under load of every kind, and check what its clients saw.

`python -m tests.crash --crashes 200` is the long run; pytest does a short one.
"""
