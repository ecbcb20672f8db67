"""Access policies for tests of policies and permissions."""

from __future__ import annotations

import json
from typing import Any

ARN = "arn:aws:sqs:us-east-1:000000000000:q"
A, B = "111111111111", "222222222222"
STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN}


def policy(*statements: object, **others: object) -> str:
    """Return a policy with these statements and other members."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements, **others})


def with_(**members: object) -> dict[str, Any]:
    """Return `STATEMENT` with other members; None removes a member."""
    merged = {**STATEMENT, **members}
    return {name: value for name, value in merged.items() if value is not None}
