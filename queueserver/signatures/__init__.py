"""Signatures: verification of AWS Signature Version 4, in headers and in presigned URLs.

`verifier.Verifier` takes the steps in AWS's order; each other module is one of its nouns. Nothing
here does I/O, and the time is an argument.
"""
