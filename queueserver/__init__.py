"""The server: HTTP, the actions and rules of SQS, background work, and the process."""
