"""Any bytes are read, or refused as SQS refuses; so is every text that the rules read."""

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
from tests.fuzz.in_time import in_time

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
SIGNER = TokenSigner(bytes(32))
ARN, OTHER_ARN = "arn:aws:sqs:us-east-1:1:q", "arn:aws:sqs:us-east-1:1:r"


def refusal_of(function: Callable[[], object]) -> SQSError | None:
    try:
        function()
    except SQSError as error:
        return error
    return None


def read(request: WireRequest) -> None:
    """Read a request; what is refused can be said, and is the caller's fault."""
    codec = codec_for(request)
    error = refusal_of(lambda: codec.read(request))
    if error is not None:
        answer = codec.write_error(error, "request-id")
        assert 400 <= answer.status < 500
        if answer.content_type != "text/xml":
            json.loads(answer.body)


@given(inputs.actions, st.one_of(inputs.garbage, inputs.anything.map(inputs.as_json)))
@in_time()
def test_any_bytes_for_json_are_read_or_refused(action: str, body: bytes) -> None:
    read(WireRequest("POST", "/", "", JSON, f"AmazonSQS.{action}", "", body))


@given(inputs.requests)
@in_time()
def test_nearly_right_json_is_read_or_refused(request: tuple[str, dict[str, object]]) -> None:
    action, parameters = request
    body = inputs.as_json(parameters)
    read(WireRequest("POST", "/", "", JSON, f"AmazonSQS.{action}", "", body))


@given(st.text(max_size=40), st.binary(max_size=40))
@in_time()
def test_any_target_is_read_or_refused(target: str, body: bytes) -> None:
    read(WireRequest("POST", "/", "", JSON, target, "", body))


@given(st.one_of(inputs.garbage, inputs.forms))
@in_time()
def test_any_bytes_for_query_are_read_or_refused(body: bytes) -> None:
    read(WireRequest("POST", "/", "", FORM, "", "", body))


@given(inputs.requests)
@in_time()
def test_nearly_right_forms_are_read_or_refused(request: tuple[str, dict[str, object]]) -> None:
    action, parameters = request
    read(WireRequest("POST", "/", "", FORM, "", "", inputs.as_form(action, parameters)))


@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    inputs.texts,
    st.text(max_size=80),
    st.sampled_from(["", JSON, FORM, "text/plain"]),
    st.sampled_from(["", "AmazonSQS.ListQueues", "x"]),
    st.sampled_from(["", "application/json", "*/*"]),
)
@in_time()
def test_any_address_is_read_or_refused(
    method: str, path: str, query: str, content_type: str, target: str, accept: str
) -> None:
    read(WireRequest(method, f"/{path}", query, content_type, target, accept))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Action=SendMessage" + b"&a.b.c.d.e.f.g.h.i.j=1" * 9_990, id="nesting"),
        pytest.param(b"Action=SendMessage&" + b"." * 8_000_000, id="dots"),
        pytest.param(b"Action=SendMessage&MessageBody=" + b"%41" * 2_700_000, id="escapes"),
        pytest.param(b"Action=SendMessage&MessageBody=" + b"%4" * 4_000_000, id="half escapes"),
        pytest.param(b"&" * 8_000_000, id="separators"),
        pytest.param(
            b"Action=SendMessageBatch&"
            + b"&".join(b"SendMessageBatchRequestEntry.%d.Id=x" % n for n in range(9_990)),
            id="entries",
        ),
        pytest.param(
            b"Action=SendMessageBatch&SendMessageBatchRequestEntry.%d.Id=x" % 10**18, id="index"
        ),
        pytest.param(
            b"Action=SendMessageBatch&SendMessageBatchRequestEntry." + b"9" * 1_000_000 + b".Id=x",
            id="endless index",
        ),
        pytest.param(b"Action=SendMessage&DelaySeconds=" + b"9" * 1_000_000, id="endless number"),
    ],
)
@in_time()
def test_the_longest_forms_are_read_in_time(body: bytes) -> None:
    read(WireRequest("POST", "/", "", FORM, "", "", body))


@given(st.binary(), st.lists(st.sampled_from([b"%", b"=", b"%3", b"%41", b"+", b"=\n", b" \n"])))
@in_time()
def test_escapes_are_undone_and_nothing_else_is_changed(plain: bytes, odd: list[bytes]) -> None:
    text = b"x".join(odd) + plain
    expected = unquote_to_bytes(text.replace(b"+", b" "))
    try:
        found = forms.parse("", b"a=" + text.replace(b"&", b"%26")).below["a"].text or ""
    except SQSError:
        with pytest.raises(UnicodeDecodeError):
            expected.decode(errors="surrogatepass")
    else:
        assert found.encode(errors="surrogatepass") == expected


# What the rules read


def refused_at_worst(function: Callable[[], object]) -> None:
    error = refusal_of(function)
    assert error is None or 400 <= error.status < 500


JSON_TEXTS = st.one_of(inputs.texts, inputs.anything.map(json.dumps))


@given(JSON_TEXTS)
@in_time()
def test_any_policy_is_kept_or_refused(text: str) -> None:
    refused_at_worst(lambda: policy_documents.parse_policy(text))
    refused_at_worst(lambda: redrive_policies.parse_redrive_policy(text))
    refused_at_worst(lambda: redrive_policies.parse_redrive_allow_policy(text))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 100_000, id="lists"),
        pytest.param('{"Statement":' * 100_000, id="objects"),
        pytest.param('{"Statement":' + "[" * 50_000 + "]" * 50_000 + "}", id="lists that end"),
        pytest.param('{"maxReceiveCount":' + "9" * 100_000 + "}", id="endless number"),
        pytest.param('{"maxReceiveCount":1e999999999}', id="endless exponent"),
        pytest.param('{"a":1,' * 50_000, id="members"),
    ],
)
@in_time()
def test_the_longest_documents_are_refused_in_time(text: str) -> None:
    for parse in (
        policy_documents.parse_policy,
        redrive_policies.parse_redrive_policy,
        redrive_policies.parse_redrive_allow_policy,
    ):
        assert refusal_of(partial(parse, text)) is not None


STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(inputs.anything, st.sampled_from(["Allow", "*", {"AWS": "*"}, [], {}]))
        for key in ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "Resource", "Condition")
    },
)


@given(st.one_of(STATEMENTS, st.lists(STATEMENTS, max_size=30)))
@in_time()
def test_any_statement_is_kept_or_refused(statements: object) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    refused_at_worst(lambda: policy_documents.parse_policy(text))


@given(
    st.dictionaries(
        st.one_of(inputs.texts, st.sampled_from(attributes.Attributes.__struct_encode_fields__)),
        JSON_TEXTS,
        max_size=4,
    ),
    st.booleans(),
)
@in_time()
def test_any_attributes_are_kept_or_refused(given_: dict[str, str], creating: bool) -> None:
    refused_at_worst(lambda: attributes.parse_requested(given_, {}, creating=creating))


@given(st.one_of(inputs.texts, st.text(), st.text("/:.aA0-", max_size=2_000)))
@in_time()
def test_any_address_of_a_queue_is_read_or_refused(text: str) -> None:
    refused_at_worst(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    refused_at_worst(lambda: queue_parameters.check_queue_name(text, is_fifo=False))
    refused_at_worst(lambda: message_attributes.parse_system_attribute_names([text]))


@pytest.mark.parametrize("text", ["/" * 100_000, "a:" * 100_000, "sqs." * 50_000, "-" * 200_000])
@in_time()
def test_the_longest_addresses_are_read_in_time(text: str) -> None:
    refused_at_worst(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    names.region_of_host(text)


# Receipt handles and tokens


def handle(number: int) -> str:
    receipt = Receipt(1, number, 1)
    received = Received(receipt, b"", "", b"", None, False, 0, 0, 0, None)
    return encode_receipt_handle(SIGNER, ARN, received)


@given(st.one_of(st.text(), st.binary().map(lambda content: SIGNER.sign("other", content))))
@in_time()
def test_no_handle_can_be_made_up(text: str) -> None:
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, ARN, text)


@given(st.integers(0, 2**63), st.data())
@in_time()
def test_no_handle_can_be_changed_or_carried_elsewhere(number: int, data: st.DataObject) -> None:
    made = handle(number)
    assert decode_receipt_handle(SIGNER, ARN, made)[0] == (1, number, 1)
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, OTHER_ARN, made)
    position = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.characters().filter(lambda one: one != made[position]))
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, ARN, made[:position] + other + made[position + 1 :])
    with pytest.raises(ReceiptHandleIsInvalid):
        decode_receipt_handle(SIGNER, ARN, made[:position])
