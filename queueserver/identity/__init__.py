"""Identity: who sent a request, and under which address they reached this server."""
