"""The connections of clients: reading requests, sending responses, and the bounds on both."""
