"""What is true, and make it so: queues and messages over time, on SQLite or PostgreSQL.

Knows no SQS error codes and no URLs. Refuses to import `protocol`, `queueserver` or aiohttp.
"""
