"""What did they say, and how do we say it back: bytes to typed values and typed values to bytes.

Pure: no I/O, no clock, no async. Refuses to import aiohttp, SQLAlchemy, `storage` or `queueserver`.
"""
