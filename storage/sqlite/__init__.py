"""SQLite: the engine, its write-ahead log, backup, and the integrity check."""
