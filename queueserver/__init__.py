"""Is it allowed, and what should happen: the rules of SQS, and the running process."""
