"""Run several servers on one PostgreSQL, disturb them, and check their clients' history."""
