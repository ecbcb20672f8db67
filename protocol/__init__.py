"""The wire format of SQS: bytes to typed requests, typed results and errors to bytes.

Pure functions and values: no I/O, no clock, no async. The package does not import aiohttp,
SQLAlchemy, `storage` or `queueserver`.
"""
