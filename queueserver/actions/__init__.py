"""The 23 SQS actions, one method each, and the queue cache that they share."""
