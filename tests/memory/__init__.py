"""Attack the memory of a server, and measure how much it grows.

`python -m tests.memory` prints the figures; pytest checks them against their limits.
"""
