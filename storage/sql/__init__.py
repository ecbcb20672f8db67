"""SQL statements that both databases execute: compiled once, run on the driver directly."""
