"""The storage engine: queues and messages over time, on SQLite or PostgreSQL.

The package knows no SQS error codes and no URLs. It does not import `protocol`, `queueserver` or
aiohttp.
"""
