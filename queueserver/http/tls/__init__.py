"""TLS: the certificate of the server, and when it expires."""
