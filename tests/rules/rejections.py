"""Helpers of tests about rejections: an error's code and the text that AWS sends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.errors import SQSError

IPV = "InvalidParameterValue"


def rejection(
    rule: Callable[..., object], *arguments: object, **options: object
) -> tuple[str, str]:
    """Return the code and the text of the error that the rule raises for these arguments."""
    with pytest.raises(SQSError) as caught:
        rule(*arguments, **options)
    return caught.value.code, caught.value.message


def invalid(parameter: str, value: object, reason: str) -> str:
    """Return AWS's text for a value that is not allowed."""
    return f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
