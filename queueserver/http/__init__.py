"""HTTP: listener, client connections, routes, and the SQS endpoint. The only user of aiohttp."""
