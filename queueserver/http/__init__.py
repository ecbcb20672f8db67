"""HTTP: listener, client connections, routes, and the SQS endpoint; the only user of aiohttp."""
