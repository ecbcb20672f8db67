"""The parameters of the message move task actions: ranges, and the text of each error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.names import Arn
from queueserver.rules import move_task_parameters
from tests.rules.rejections import IPV, rejection


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        pytest.param("arn:aws:sqs:us-east-1:000000000000:q.fifo", "q.fifo", id="a queue"),
        pytest.param("arn:aws:sns:us-east-1:000000000000:t:1", "t:1", id="something else"),
        pytest.param("arn:aws:s3:::bucket", "bucket", id="no region, no account"),
    ],
)
def test_arn_has_six_parts(text: str, resource: str) -> None:
    arn = move_task_parameters.parse_move_task_arn("SourceArn", text)
    assert isinstance(arn, Arn)
    assert (str(arn), arn.resource) == (text, resource)


@pytest.mark.parametrize("parameter", ["SourceArn", "DestinationArn"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "q",
        "arn:aws:sqs:us-east-1:0",
        "arn:aws:sqs:us-east-1:0:",
        "arn:aws:sqs:r:0:q\x00",
        "ARN",
    ],
    ids=repr,
)
def test_text_that_is_not_an_arn_is_rejected(parameter: str, text: str) -> None:
    expected = (
        f"You must use this format to specify the {parameter}: "
        "arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
    )
    assert rejection(move_task_parameters.parse_move_task_arn, parameter, text) == (
        IPV,
        expected,
    )


@pytest.mark.parametrize(
    ("rule", "parameter", "highest"),
    [
        pytest.param(
            move_task_parameters.parse_move_task_max_results, "MaxResults", 10, id="tasks of a list"
        ),
        pytest.param(
            move_task_parameters.check_messages_per_second,
            "MaxNumberOfMessagesPerSecond",
            500,
            id="messages a second",
        ),
    ],
)
def test_number_outside_its_range_is_rejected(
    rule: Callable[[int], object], parameter: str, highest: int
) -> None:
    rule(1)
    rule(highest)
    reason = f"You must enter a number that's between 1 and {highest}."
    text = f"Value for parameter {parameter} is invalid. Reason: {reason}"
    for value in (0, -1, highest + 1, 10**18):
        assert rejection(rule, value) == (IPV, text)


def test_list_returns_one_task_by_default() -> None:
    assert move_task_parameters.parse_move_task_max_results(None) == 1
    assert move_task_parameters.parse_move_task_max_results(7) == 7
