"""A SQLite database that cannot grow, as on a full disk."""

from __future__ import annotations

from storage.transaction import Transaction


def limit_pages(transaction: Transaction, extra: int = 0) -> None:
    """Keep the database from growing by more than `extra` pages: SQLite reports a full disk."""
    (pages,) = transaction.connection.exec_driver_sql("PRAGMA page_count").one()
    transaction.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + extra}").all()
