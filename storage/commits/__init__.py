"""Group commit: the queue of pending writes, and the writer that commits them in batches."""
