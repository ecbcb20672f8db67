"""ReceiveMessage and visibility changes: the range of each parameter, the text of each error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queueserver.rules import receive_parameters
from tests.rules.rejections import IPV, invalid, rejection


@pytest.mark.parametrize(
    ("rule", "lowest", "highest", "parameter", "reason"),
    [
        pytest.param(
            receive_parameters.parse_max_number_of_messages,
            1,
            10,
            "MaxNumberOfMessages",
            "Must be between 1 and 10, if provided.",
            id="messages of a receive",
        ),
        pytest.param(
            receive_parameters.check_wait_time_seconds,
            0,
            20,
            "WaitTimeSeconds",
            "Must be >= 0 and <= 20, if provided.",
            id="wait",
        ),
        pytest.param(
            receive_parameters.check_receive_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "Must be >= 0 and <= 43200, if provided.",
            id="visibility of a receive",
        ),
        pytest.param(
            receive_parameters.parse_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "Must be between 0 and 43200.",
            id="visibility",
        ),
        pytest.param(
            receive_parameters.check_entry_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "VisibilityTimeout must be an integer between 0 and 43200.",
            id="visibility in a batch",
        ),
    ],
)
def test_number_outside_its_range_is_rejected(
    rule: Callable[[int], object], lowest: int, highest: int, parameter: str, reason: str
) -> None:
    rule(lowest)
    rule(highest)
    for value in (lowest - 1, highest + 1, -(10**18), 10**18):
        text = invalid(parameter, value, reason)
        assert rejection(rule, value) == (IPV, text)


def test_receive_returns_one_message_by_default() -> None:
    assert receive_parameters.parse_max_number_of_messages(None) == 1
    assert receive_parameters.parse_max_number_of_messages(7) == 7


def test_total_visibility_timeout_is_at_most_12_hours() -> None:
    receive_parameters.check_total_visibility(0, 43_199)
    receive_parameters.check_total_visibility(1_000, 43_199)
    reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]."
    text = invalid("VisibilityTimeout", 43_199, reason)
    assert rejection(receive_parameters.check_total_visibility, 1_001, 43_199) == (IPV, text)
    text = invalid("VisibilityTimeout", 43_200, reason)
    assert rejection(receive_parameters.check_total_visibility, 0, 43_200) == (IPV, text)


def test_attempt_id_is_1_to_128_letters_digits_and_punctuation() -> None:
    check = receive_parameters.check_receive_request_attempt_id
    for good in ("a", "".join(map(chr, range(0x21, 0x7F))), "x" * 128):
        check(good)
    words = "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters."
    for bad in ("", "x" * 129, "a b", "é", "a\n", "\x7f"):
        text = invalid("ReceiveRequestAttemptId", bad, f"{words} 1 to 128 in length.")
        assert rejection(check, bad) == (IPV, text)


def test_errors_for_expired_receipts_and_attempts_repeat_the_value() -> None:
    reason = "The receipt handle has expired."
    assert receive_parameters.expired_receipt_error("h").message == invalid(
        "ReceiptHandle", "h", reason
    )
    reason = (
        "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    )
    text = invalid("ReceiveRequestAttemptId", "a", reason)
    assert receive_parameters.expired_attempt_error("a").message == text
