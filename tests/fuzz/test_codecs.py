"""Random bytes are parsed or rejected by the codecs, and random texts by the rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import names
from protocol.codecs import forms
from protocol.codecs.choice import codec_for
from protocol.errors import ReceiptHandleIsInvalid, SQSError
from protocol.wire import WireRequest
from queueserver.rules import (
    attributes,
    message_attributes,
    policy_documents,
    queue_parameters,
    redrive_policies,
)
from queueserver.rules.receipt_handles import decode_receipt_handle, encode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from storage.messages.commands import Receipt, Received
from tests.fuzz import inputs
from tests.fuzz.time_limit import time_limit

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
ARN, OTHER_ARN = "arn:aws:sqs:us-east-1:1:q", "arn:aws:sqs:us-east-1:1:r"
SIGNER = TokenSigner(bytes(32), ARN)
OTHER_SIGNER = TokenSigner(bytes(32), OTHER_ARN)


def rejection_of(function: Callable[[], object]) -> SQSError | None:
    try:
        function()
    except SQSError as error:
        return error
    return None


def parse(request: WireRequest) -> None:
    """Parse a request; if it is rejected, the error must be the sender's fault and be encodable."""
    codec = codec_for(request)
    error = rejection_of(lambda: codec.read(request))
    if error is not None:
        response = codec.write_error(error, "request-id")
        assert 400 <= response.status < 500
        if response.content_type != "text/xml":
            json.loads(response.body)


@given(inputs.actions, st.one_of(inputs.garbage, inputs.json_values.map(inputs.as_json)))
@time_limit()
def test_random_json_body_is_parsed_or_rejected(action: str, body: bytes) -> None:
    parse(WireRequest("POST", "/", "", JSON, f"AmazonSQS.{action}", "", body))


@given(inputs.requests)
@time_limit()
def test_nearly_valid_json_is_parsed_or_rejected(request: tuple[str, dict[str, object]]) -> None:
    action, parameters = request
    body = inputs.as_json(parameters)
    parse(WireRequest("POST", "/", "", JSON, f"AmazonSQS.{action}", "", body))


@given(st.text(max_size=40), st.binary(max_size=40))
@time_limit()
def test_random_target_is_parsed_or_rejected(target: str, body: bytes) -> None:
    parse(WireRequest("POST", "/", "", JSON, target, "", body))


@given(st.one_of(inputs.garbage, inputs.forms))
@time_limit()
def test_random_form_is_parsed_or_rejected(body: bytes) -> None:
    parse(WireRequest("POST", "/", "", FORM, "", "", body))


@given(inputs.requests)
@time_limit()
def test_nearly_valid_form_is_parsed_or_rejected(request: tuple[str, dict[str, object]]) -> None:
    action, parameters = request
    parse(WireRequest("POST", "/", "", FORM, "", "", inputs.as_form(action, parameters)))


@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    inputs.texts,
    st.text(max_size=80),
    st.sampled_from(["", JSON, FORM, "text/plain"]),
    st.sampled_from(["", "AmazonSQS.ListQueues", "x"]),
    st.sampled_from(["", "application/json", "*/*"]),
)
@time_limit()
def test_random_path_query_and_headers_are_parsed_or_rejected(
    method: str, path: str, query: str, content_type: str, target: str, accept: str
) -> None:
    parse(WireRequest(method, f"/{path}", query, content_type, target, accept))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b"Action=SendMessage" + b"&a.b.c.d.e.f.g.h.i.j=1" * 9_990, id="9,990 nested names"
        ),
        pytest.param(b"Action=SendMessage&" + b"." * 8_000_000, id="8 MB of dots"),
        pytest.param(b"Action=SendMessage&MessageBody=" + b"%41" * 2_700_000, id="8 MB of escapes"),
        pytest.param(
            b"Action=SendMessage&MessageBody=" + b"%4" * 4_000_000, id="8 MB of incomplete escapes"
        ),
        pytest.param(b"&" * 8_000_000, id="8 MB of separators"),
        pytest.param(
            b"Action=SendMessageBatch&"
            + b"&".join(b"SendMessageBatchRequestEntry.%d.Id=x" % n for n in range(9_990)),
            id="9,990 entries",
        ),
        pytest.param(
            b"Action=SendMessageBatch&SendMessageBatchRequestEntry.%d.Id=x" % 10**18,
            id="index of 19 digits",
        ),
        pytest.param(
            b"Action=SendMessageBatch&SendMessageBatchRequestEntry." + b"9" * 1_000_000 + b".Id=x",
            id="index of a million digits",
        ),
        pytest.param(
            b"Action=SendMessage&DelaySeconds=" + b"9" * 1_000_000, id="number of a million digits"
        ),
    ],
)
@time_limit()
def test_largest_form_is_parsed_within_the_time_limit(body: bytes) -> None:
    parse(WireRequest("POST", "/", "", FORM, "", "", body))


@given(st.binary(), st.lists(st.sampled_from([b"%", b"=", b"%3", b"%41", b"+", b"=\n", b" \n"])))
@time_limit()
def test_form_value_is_unquoted_and_otherwise_unchanged(suffix: bytes, pieces: list[bytes]) -> None:
    text = b"x".join(pieces) + suffix
    expected = unquote_to_bytes(text.replace(b"+", b" "))
    try:
        found = forms.parse("", b"a=" + text.replace(b"&", b"%26")).below["a"].text or ""
    except SQSError:
        with pytest.raises(UnicodeDecodeError):
            expected.decode(errors="surrogatepass")
    else:
        assert found.encode(errors="surrogatepass") == expected


# Texts that the rules parse


def parse_or_reject(function: Callable[[], object]) -> None:
    """Call a function that may reject its input; a rejection must be the sender's fault."""
    error = rejection_of(function)
    assert error is None or 400 <= error.status < 500


JSON_TEXTS = st.one_of(inputs.texts, inputs.json_values.map(json.dumps))


@given(JSON_TEXTS)
@time_limit()
def test_random_policy_is_parsed_or_rejected(text: str) -> None:
    parse_or_reject(lambda: policy_documents.parse_policy(text))
    parse_or_reject(lambda: redrive_policies.parse_redrive_policy(text))
    parse_or_reject(lambda: redrive_policies.parse_redrive_allow_policy(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="unclosed lists"),
        pytest.param('{"Statement":' * 100_000, id="unclosed objects"),
        pytest.param('{"Statement":' + "[" * 50_000 + "]" * 50_000 + "}", id="nested lists"),
        pytest.param('{"maxReceiveCount":' + "9" * 100_000 + "}", id="number of 100,000 digits"),
        pytest.param('{"maxReceiveCount":1e999999999}', id="exponent of 9 digits"),
        pytest.param('{"a":1,' * 50_000, id="50,000 members"),
    ],
)
@time_limit()
def test_hostile_document_is_rejected_within_the_time_limit(text: str) -> None:
    for parse in (
        policy_documents.parse_policy,
        redrive_policies.parse_redrive_policy,
        redrive_policies.parse_redrive_allow_policy,
    ):
        assert rejection_of(partial(parse, text)) is not None


STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(inputs.json_values, st.sampled_from(["Allow", "*", {"AWS": "*"}, [], {}]))
        for key in ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "Resource", "Condition")
    },
)


@given(st.one_of(STATEMENTS, st.lists(STATEMENTS, max_size=30)))
@time_limit()
def test_random_policy_statement_is_parsed_or_rejected(statements: object) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    parse_or_reject(lambda: policy_documents.parse_policy(text))


@given(
    st.dictionaries(
        st.one_of(inputs.texts, st.sampled_from(attributes.Attributes.__struct_encode_fields__)),
        JSON_TEXTS,
        max_size=4,
    ),
    st.booleans(),
)
@time_limit()
def test_random_attributes_are_parsed_or_rejected(
    requested: dict[str, str], creating: bool
) -> None:
    parse_or_reject(lambda: attributes.parse_requested(requested, {}, creating=creating))


@given(st.one_of(inputs.texts, st.text(), st.text("/:.aA0-", max_size=2_000)))
@time_limit()
def test_random_queue_url_and_arn_are_parsed_or_rejected(text: str) -> None:
    parse_or_reject(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    parse_or_reject(lambda: queue_parameters.check_queue_name(text, is_fifo=False))
    parse_or_reject(lambda: message_attributes.parse_system_attribute_names([text], None))


@pytest.mark.parametrize("text", ["/" * 100_000, "a:" * 100_000, "sqs." * 50_000, "-" * 200_000])
@time_limit()
def test_longest_queue_url_and_arn_are_parsed_within_the_time_limit(text: str) -> None:
    parse_or_reject(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    names.region_of_host(text)


# Receipt handles and tokens


def receipt_handle(number: int) -> str:
    receipt = Receipt(1, number, 1)
    received = Received(receipt, b"", "", b"", None, False, 0, 0, 0, None)
    return encode_receipt_handle(SIGNER, received)


@given(st.one_of(st.text(), st.binary().map(lambda content: OTHER_SIGNER.sign(content))))
@time_limit()
def test_forged_receipt_handle_is_rejected(text: str) -> None:
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, text)


@given(st.integers(0, 2**63), st.data())
@time_limit()
def test_changed_receipt_handle_or_one_of_another_queue_is_rejected(
    number: int, data: st.DataObject
) -> None:
    issued = receipt_handle(number)
    assert decode_receipt_handle(SIGNER, issued)[0] == (1, number, 1)
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(OTHER_SIGNER, issued)
    position = data.draw(st.integers(0, len(issued) - 1))
    other = data.draw(st.characters().filter(lambda character: character != issued[position]))
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, issued[:position] + other + issued[position + 1 :])
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, issued[:position])
