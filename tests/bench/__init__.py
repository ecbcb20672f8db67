"""The benchmark: `python -m tests.bench`.

It starts the server itself, loads it from this process over raw keep-alive connections, and prints
a table of what each scenario reached, beside two ceilings measured in the same run with the same
client: a bare aiohttp handler that echoes JSON, and raw `sqlite3` doing the same writes. Machines
are noisy: only ratios within one run mean anything.
"""
