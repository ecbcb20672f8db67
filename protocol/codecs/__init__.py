"""Codecs of the two SQS wire protocols: bytes to typed requests, typed results to bytes."""
