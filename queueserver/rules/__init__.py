"""The rules of SQS: limits, attributes, policies, and the texts that the server hands out."""
