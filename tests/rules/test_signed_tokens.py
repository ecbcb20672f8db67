"""Receipt handles and page tokens: their format is stable, and only the server can make them."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

import pytest

from protocol.errors import InvalidParameterValue, ReceiptHandleIsInvalid
from queueserver.rules.page_tokens import Listing, decode_page_token, encode_page_token
from queueserver.rules.receipt_handles import decode_receipt_handle, encode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from storage.messages.commands import Receipt, Received

SECRET = bytes(range(32))
ARN = "arn:aws:sqs:us-east-1:000000000000:orders"
SIGNER = TokenSigner(SECRET, ARN)
RECEIPT = Receipt(1, 1_234_567_890_123, 3)
RECEIVED_AT_MS = 1_700_000_000_123
HANDLE = "AAAAAAAAAAEAAAEfcfsEywAAAAMAAAGLz+Voe6jVNXmfMVz9Ws+qxWuiTvw="
LISTING = Listing("ListQueues 000000000000 us-east-1", "or", 2)
TOKEN = "WyJvciIsMiwib3JkZXJzIl1puDoL0fjp8nup/mQfD4fO"


def test_receipt_handle_of_an_earlier_version_is_still_valid() -> None:
    received = Received(RECEIPT, b"", "", b"", None, False, 0, 0, RECEIVED_AT_MS, None)
    assert encode_receipt_handle(SIGNER, received) == HANDLE
    assert decode_receipt_handle(SIGNER, HANDLE) == (RECEIPT, RECEIVED_AT_MS)


def test_page_token_of_an_earlier_version_is_still_valid() -> None:
    assert encode_page_token(SECRET, LISTING, "orders") == TOKEN
    assert decode_page_token(SECRET, LISTING, TOKEN) == "orders"


def test_page_token_is_valid_with_another_number_of_results() -> None:
    assert decode_page_token(SECRET, Listing(LISTING.purpose, "or", 10), TOKEN) == "orders"


@pytest.mark.parametrize(
    ("arn", "handle"),
    [
        pytest.param(ARN + "2", HANDLE, id="another queue"),
        pytest.param(ARN, TOKEN, id="a page token"),
        pytest.param(ARN, HANDLE[:-1], id="no padding"),
        pytest.param(ARN, HANDLE[:-2] + "x=", id="other bits after the last byte"),
        pytest.param(ARN, "B" + HANDLE[1:], id="altered"),
        pytest.param(ARN, "A" * 1_028, id="too long"),
        pytest.param(ARN, "", id="empty"),
    ],
)
def test_handle_that_the_queue_did_not_issue_is_rejected(arn: str, handle: str) -> None:
    with pytest.raises(ReceiptHandleIsInvalid) as caught:
        decode_receipt_handle(TokenSigner(SECRET, arn), handle)
    expected = f'The input receipt handle "{handle}" is not a valid receipt handle.'
    assert caught.value.message == expected


def test_token_of_another_secret_is_rejected() -> None:
    other = TokenSigner(bytes(32), ARN)
    assert other.verify(HANDLE) is None
    assert SIGNER.verify(other.sign(b"content")) is None


def test_purpose_and_content_are_separate_in_the_digest() -> None:
    token = a2b_base64(TokenSigner(SECRET, "purpose").sign(b"content"))
    shifted = b2a_base64(b"e" + token, newline=False).decode()
    assert TokenSigner(SECRET, "purpos").verify(shifted) is None


@pytest.mark.parametrize(
    ("listing", "text"),
    [
        pytest.param(
            Listing("ListQueues 111111111111 us-east-1", "or", 2),
            "Invalid or expired next token.",
            id="another account",
        ),
        pytest.param(
            Listing(LISTING.purpose, "o", 2),
            "Invalid NextToken value. If you are passing in NextToken, "
            "you must not change the other request parameters.",
            id="another prefix",
        ),
    ],
)
def test_page_token_of_another_list_is_rejected(listing: Listing, text: str) -> None:
    with pytest.raises(InvalidParameterValue) as caught:
        decode_page_token(SECRET, listing, TOKEN)
    assert caught.value.message == text
