"""PostgreSQL: connections, sessions, the engine, and LISTEN/NOTIFY between servers."""
