"""Run several servers on one PostgreSQL, disturb them, and check what their clients saw."""
