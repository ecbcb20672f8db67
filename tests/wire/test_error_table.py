"""Every error's namespace, shape, code and status, and how both protocols encode it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import xmltodict

from protocol import errors
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.errors import SQSError

SQS, COMMON = errors.SQS_NAMESPACE, errors.COMMON_NAMESPACE
CODE_PREFIX = "AWS.SimpleQueueService."

ROWS: dict[type[SQSError], tuple[str, str, str, int]] = {
    errors.QueueDoesNotExist: (SQS, "QueueDoesNotExist", CODE_PREFIX + "NonExistentQueue", 400),
    errors.QueueNameExists: (SQS, "QueueNameExists", "QueueAlreadyExists", 400),
    errors.QueueDeletedRecently: (
        SQS,
        "QueueDeletedRecently",
        CODE_PREFIX + "QueueDeletedRecently",
        400,
    ),
    errors.PurgeQueueInProgress: (
        SQS,
        "PurgeQueueInProgress",
        CODE_PREFIX + "PurgeQueueInProgress",
        403,
    ),
    errors.OverLimit: (SQS, "OverLimit", "OverLimit", 403),
    errors.MessageNotInflight: (SQS, "MessageNotInflight", CODE_PREFIX + "MessageNotInflight", 400),
    errors.ReceiptHandleIsInvalid: (SQS, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404),
    errors.ResourceNotFoundException: (
        SQS,
        "ResourceNotFoundException",
        "ResourceNotFoundException",
        404,
    ),
    errors.InvalidAddress: (SQS, "InvalidAddress", "InvalidAddress", 404),
    errors.InvalidSecurity: (SQS, "InvalidSecurity", "InvalidSecurity", 403),
    errors.RequestThrottled: (SQS, "RequestThrottled", "RequestThrottled", 403),
    errors.InvalidAttributeName: (SQS, "InvalidAttributeName", "InvalidAttributeName", 400),
    errors.InvalidAttributeValue: (SQS, "InvalidAttributeValue", "InvalidAttributeValue", 400),
    errors.InvalidMessageContents: (SQS, "InvalidMessageContents", "InvalidMessageContents", 400),
    errors.InvalidIdFormat: (SQS, "InvalidIdFormat", "InvalidIdFormat", 400),
    errors.UnsupportedOperation: (
        SQS,
        "UnsupportedOperation",
        CODE_PREFIX + "UnsupportedOperation",
        400,
    ),
    errors.EmptyBatchRequest: (SQS, "EmptyBatchRequest", CODE_PREFIX + "EmptyBatchRequest", 400),
    errors.TooManyEntriesInBatchRequest: (
        SQS,
        "TooManyEntriesInBatchRequest",
        CODE_PREFIX + "TooManyEntriesInBatchRequest",
        400,
    ),
    errors.BatchEntryIdsNotDistinct: (
        SQS,
        "BatchEntryIdsNotDistinct",
        CODE_PREFIX + "BatchEntryIdsNotDistinct",
        400,
    ),
    errors.BatchRequestTooLong: (
        SQS,
        "BatchRequestTooLong",
        CODE_PREFIX + "BatchRequestTooLong",
        400,
    ),
    errors.InvalidBatchEntryId: (
        SQS,
        "InvalidBatchEntryId",
        CODE_PREFIX + "InvalidBatchEntryId",
        400,
    ),
    errors.KmsAccessDenied: (SQS, "KmsAccessDenied", "KMS.AccessDeniedException", 400),
    errors.KmsDisabled: (SQS, "KmsDisabled", "KMS.DisabledException", 400),
    errors.KmsInvalidKeyUsage: (SQS, "KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400),
    errors.KmsInvalidState: (SQS, "KmsInvalidState", "KMS.InvalidStateException", 400),
    errors.KmsNotFound: (SQS, "KmsNotFound", "KMS.NotFoundException", 400),
    errors.KmsOptInRequired: (SQS, "KmsOptInRequired", "KMS.OptInRequired", 403),
    errors.KmsThrottled: (SQS, "KmsThrottled", "KMS.ThrottlingException", 400),
    errors.InvalidParameterValue: (
        COMMON,
        "InvalidParameterValueException",
        "InvalidParameterValue",
        400,
    ),
    errors.MissingParameter: (COMMON, "MissingRequiredParameterException", "MissingParameter", 400),
    errors.InvalidAction: (COMMON, "UnknownOperationException", "InvalidAction", 400),
    errors.NoSuchPath: (COMMON, "UnknownOperationException", "InvalidAction", 404),
    errors.MissingAction: (COMMON, "MissingActionException", "MissingAction", 400),
    errors.MalformedInput: (COMMON, "SerializationException", "MalformedInput", 400),
    errors.RequestEntityTooLarge: (
        COMMON,
        "RequestEntityTooLargeException",
        "RequestEntityTooLarge",
        413,
    ),
    errors.RequestUriTooLong: (COMMON, "RequestUriTooLongException", "RequestUriTooLong", 414),
    errors.RequestHeaderSectionTooLarge: (
        COMMON,
        "RequestHeaderSectionTooLargeException",
        "RequestHeaderSectionTooLarge",
        431,
    ),
    errors.RequestTimeout: (COMMON, "RequestTimeoutException", "RequestTimeout", 408),
    errors.AccessDenied: (COMMON, "AccessDeniedException", "AccessDenied", 403),
    errors.InvalidClientTokenId: (
        COMMON,
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        403,
    ),
    errors.SignatureDoesNotMatch: (
        COMMON,
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        403,
    ),
    errors.IncompleteSignature: (
        COMMON,
        "IncompleteSignatureException",
        "IncompleteSignature",
        400,
    ),
    errors.MalformedQueryString: (
        COMMON,
        "MalformedQueryStringException",
        "MalformedQueryString",
        400,
    ),
    errors.ExpiredToken: (COMMON, "ExpiredTokenException", "ExpiredToken", 403),
    errors.InternalFailure: (COMMON, "InternalFailure", "InternalFailure", 500),
    errors.ServiceUnavailable: (COMMON, "ServiceUnavailable", "ServiceUnavailable", 503),
}
ALL_ERRORS = [pytest.param(error, *row, id=error.__name__) for error, row in ROWS.items()]
WITHOUT_MESSAGE = {errors.MessageNotInflight}
WITHOUT_ENVELOPE = {errors.NoSuchPath}


def test_table_has_a_row_for_every_error() -> None:
    assert set(SQSError.__subclasses__()) == set(ROWS)


@pytest.mark.parametrize(("error", "namespace", "shape", "code", "status"), ALL_ERRORS)
def test_json_error_has_the_shape_in_the_body_and_the_code_in_a_header(
    error: type[SQSError], namespace: str, shape: str, code: str, status: int
) -> None:
    response = JsonCodec().write_error(error(), "rid")
    fault = "Receiver" if status >= 500 else "Sender"
    assert response.status == status
    assert response.content_type == "application/x-amz-json-1.0"
    assert response.query_error == f"{code};{fault}"
    expected = {"__type": f"{namespace}#{shape}"}
    if error not in WITHOUT_MESSAGE:
        expected["message"] = error.text
    assert json.loads(response.body) == expected


@pytest.mark.parametrize(("error", "namespace", "shape", "code", "status"), ALL_ERRORS)
def test_query_error_has_the_code_in_the_body_and_no_header(
    error: type[SQSError], namespace: str, shape: str, code: str, status: int
) -> None:
    response = QueryCodec().write_error(error("it's <bad>"), "rid")
    fault = "Receiver" if status >= 500 else "Sender"
    assert (response.status, response.content_type) == (status, "text/xml")
    assert response.query_error is None
    if error in WITHOUT_ENVELOPE:
        assert response.body == f"<{shape}/>".encode()
    else:
        assert response.body.decode() == (
            '<?xml version="1.0"?>'
            '<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
            f"<Error><Type>{fault}</Type><Code>{code}</Code><Message>it's &lt;bad&gt;</Message>"
            "<Detail/></Error><RequestId>rid</RequestId></ErrorResponse>"
        )


@pytest.mark.parametrize("error", [pytest.param(error, id=error.__name__) for error in ROWS])
def test_every_error_but_message_not_inflight_has_a_default_message(error: type[SQSError]) -> None:
    assert bool(error().message) is (error not in WITHOUT_MESSAGE)
    assert error("custom").message == "custom"
    assert str(error("custom")) == "custom"


def test_middle_of_a_long_message_is_cut_out() -> None:
    longest = "x" * errors.LONGEST_MESSAGE
    assert errors.InvalidParameterValue(longest).message == longest
    words = errors.InvalidParameterValue(f"Value {longest} is invalid.").message
    assert len(words) == errors.LONGEST_MESSAGE + len("...")
    assert words.startswith("Value xxx")
    assert "x...x" in words
    assert words.endswith("xxx is invalid.")


def test_reason_for_the_operator_is_sent_in_no_protocol() -> None:
    error = errors.AccessDenied(reason="statement 3 denies it")
    assert error.reason == "statement 3 denies it"
    assert error.message == errors.AccessDenied.text
    for codec in (JsonCodec(), QueryCodec()):
        response = codec.write_error(error, "rid")
        assert b"statement 3" not in response.body
        assert "statement 3" not in (response.query_error or "")


def test_only_the_query_error_mentions_a_wsdl_version() -> None:
    error = errors.QueueDoesNotExist()
    body = QueryCodec().write_error(error, "rid").body
    message = xmltodict.parse(body)["ErrorResponse"]["Error"]["Message"]
    assert message == "The specified queue does not exist for this wsdl version."
    assert error.message == "The specified queue does not exist."


def test_error_messages_work_in_an_interpreter_that_strips_docstrings() -> None:
    code = "from protocol.errors import OverLimit; print(OverLimit().message)"
    process = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, check=True)
    assert process.stdout.decode().strip() == errors.OverLimit.text


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("QueueUrl", errors.QueueDoesNotExist, "The specified queue does not exist."),
        (
            "QueueName",
            errors.InvalidParameterValue,
            "Value for parameter QueueName is invalid. Reason: Must specify a queue name.",
        ),
        ("Label", errors.MissingParameter, "The request must contain the parameter Label."),
    ],
)
def test_missing_parameter_has_the_error_and_message_of_sqs(
    name: str, error: type[SQSError], message: str
) -> None:
    missing = errors.missing_parameter(name)
    assert type(missing) is error
    assert missing.message == message
