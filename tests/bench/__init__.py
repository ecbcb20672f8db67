"""The benchmark: `python -m tests.bench`.

It starts the server, sends requests from this process over keep-alive connections, and prints a
table of scenarios. Two ceilings are measured in the same run. One is a bare aiohttp handler that
echoes JSON to the same client. The other is the database without a server: `sqlite3` with the
fewest statements that a queue needs, or asyncpg with the server's own statements for PostgreSQL.
Machines are noisy: compare only results of one run.
"""
