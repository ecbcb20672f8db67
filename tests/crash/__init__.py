"""Kill the server at random moments under load of every kind, and account for every promise.

`python -m tests.crash --crashes 200` runs the long setting; pytest runs a short one.
"""
