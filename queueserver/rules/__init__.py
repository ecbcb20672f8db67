"""The rules of SQS for parameters and documents: limits, formats and the errors that AWS sends.

The rules know no time, and change nothing. `check_...` raises the error of SQS for a
broken rule and returns None. `parse_...` returns the value to use, or raises the error.
`..._error` returns an error for the caller to raise.
"""
