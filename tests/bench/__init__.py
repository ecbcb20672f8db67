"""The benchmark: `python -m tests.bench`.

It starts the server itself, loads it from this process over raw keep-alive connections, and prints
a table of what each scenario reached, beside two ceilings measured in the same run: a bare aiohttp
handler that echoes JSON to the same client, and the database without a server, which is raw
`sqlite3` doing the least that a queue needs, or asyncpg saying to a PostgreSQL what the server says
to it. Machines are noisy: only ratios within one run mean anything.
"""
