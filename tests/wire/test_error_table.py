"""Every error's row, and how both protocols say it."""

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

A, B = errors.SQS_NAMESPACE, errors.COMMON_NAMESPACE
SIMPLE = "AWS.SimpleQueueService."

ROWS: dict[type[SQSError], tuple[str, str, str, int]] = {
    errors.QueueDoesNotExist: (A, "QueueDoesNotExist", SIMPLE + "NonExistentQueue", 400),
    errors.QueueNameExists: (A, "QueueNameExists", "QueueAlreadyExists", 400),
    errors.QueueDeletedRecently: (A, "QueueDeletedRecently", SIMPLE + "QueueDeletedRecently", 400),
    errors.PurgeQueueInProgress: (A, "PurgeQueueInProgress", SIMPLE + "PurgeQueueInProgress", 403),
    errors.OverLimit: (A, "OverLimit", "OverLimit", 403),
    errors.MessageNotInflight: (A, "MessageNotInflight", SIMPLE + "MessageNotInflight", 400),
    errors.ReceiptHandleIsInvalid: (A, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404),
    errors.ResourceNotFoundException: (
        A,
        "ResourceNotFoundException",
        "ResourceNotFoundException",
        404,
    ),
    errors.InvalidAddress: (A, "InvalidAddress", "InvalidAddress", 404),
    errors.InvalidSecurity: (A, "InvalidSecurity", "InvalidSecurity", 403),
    errors.RequestThrottled: (A, "RequestThrottled", "RequestThrottled", 403),
    errors.InvalidAttributeName: (A, "InvalidAttributeName", "InvalidAttributeName", 400),
    errors.InvalidAttributeValue: (A, "InvalidAttributeValue", "InvalidAttributeValue", 400),
    errors.InvalidMessageContents: (A, "InvalidMessageContents", "InvalidMessageContents", 400),
    errors.InvalidIdFormat: (A, "InvalidIdFormat", "InvalidIdFormat", 400),
    errors.UnsupportedOperation: (A, "UnsupportedOperation", SIMPLE + "UnsupportedOperation", 400),
    errors.EmptyBatchRequest: (A, "EmptyBatchRequest", SIMPLE + "EmptyBatchRequest", 400),
    errors.TooManyEntriesInBatchRequest: (
        A,
        "TooManyEntriesInBatchRequest",
        SIMPLE + "TooManyEntriesInBatchRequest",
        400,
    ),
    errors.BatchEntryIdsNotDistinct: (
        A,
        "BatchEntryIdsNotDistinct",
        SIMPLE + "BatchEntryIdsNotDistinct",
        400,
    ),
    errors.BatchRequestTooLong: (A, "BatchRequestTooLong", SIMPLE + "BatchRequestTooLong", 400),
    errors.InvalidBatchEntryId: (A, "InvalidBatchEntryId", SIMPLE + "InvalidBatchEntryId", 400),
    errors.KmsAccessDenied: (A, "KmsAccessDenied", "KMS.AccessDeniedException", 400),
    errors.KmsDisabled: (A, "KmsDisabled", "KMS.DisabledException", 400),
    errors.KmsInvalidKeyUsage: (A, "KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", 400),
    errors.KmsInvalidState: (A, "KmsInvalidState", "KMS.InvalidStateException", 400),
    errors.KmsNotFound: (A, "KmsNotFound", "KMS.NotFoundException", 400),
    errors.KmsOptInRequired: (A, "KmsOptInRequired", "KMS.OptInRequired", 403),
    errors.KmsThrottled: (A, "KmsThrottled", "KMS.ThrottlingException", 400),
    errors.InvalidParameterValue: (
        B,
        "InvalidParameterValueException",
        "InvalidParameterValue",
        400,
    ),
    errors.MissingParameter: (B, "MissingRequiredParameterException", "MissingParameter", 400),
    errors.InvalidAction: (B, "UnknownOperationException", "InvalidAction", 400),
    errors.NoSuchPath: (B, "UnknownOperationException", "InvalidAction", 404),
    errors.MissingAction: (B, "MissingActionException", "MissingAction", 400),
    errors.MalformedInput: (B, "SerializationException", "MalformedInput", 400),
    errors.RequestEntityTooLarge: (
        B,
        "RequestEntityTooLargeException",
        "RequestEntityTooLarge",
        413,
    ),
    errors.RequestTimeout: (B, "RequestTimeoutException", "RequestTimeout", 408),
    errors.AccessDenied: (B, "AccessDeniedException", "AccessDenied", 403),
    errors.InvalidClientTokenId: (B, "UnrecognizedClientException", "InvalidClientTokenId", 403),
    errors.SignatureDoesNotMatch: (B, "InvalidSignatureException", "SignatureDoesNotMatch", 403),
    errors.IncompleteSignature: (B, "IncompleteSignatureException", "IncompleteSignature", 400),
    errors.ExpiredToken: (B, "ExpiredTokenException", "ExpiredToken", 403),
    errors.InternalFailure: (B, "InternalFailure", "InternalFailure", 500),
    errors.ServiceUnavailable: (B, "ServiceUnavailable", "ServiceUnavailable", 503),
}
EVERY = [pytest.param(error, *row, id=error.__name__) for error, row in ROWS.items()]
SILENT = {errors.MessageNotInflight}
BARE = {errors.NoSuchPath}


def test_every_error_has_a_row_here() -> None:
    assert set(SQSError.__subclasses__()) == set(ROWS)


@pytest.mark.parametrize(("error", "namespace", "shape", "code", "status"), EVERY)
def test_json_names_shape_and_query_code(
    error: type[SQSError], namespace: str, shape: str, code: str, status: int
) -> None:
    response = JsonCodec().write_error(error(), "rid")
    fault = "Receiver" if status >= 500 else "Sender"
    assert response.status == status
    assert response.content_type == "application/x-amz-json-1.0"
    assert response.query_error == f"{code};{fault}"
    expected = {"__type": f"{namespace}#{shape}"}
    if error not in SILENT:
        expected["message"] = error.text
    assert json.loads(response.body) == expected


@pytest.mark.parametrize(("error", "namespace", "shape", "code", "status"), EVERY)
def test_query_names_the_code_alone(
    error: type[SQSError], namespace: str, shape: str, code: str, status: int
) -> None:
    response = QueryCodec().write_error(error("it's <bad>"), "rid")
    fault = "Receiver" if status >= 500 else "Sender"
    assert (response.status, response.content_type) == (status, "text/xml")
    assert response.query_error is None
    if error in BARE:
        assert response.body == f"<{shape}/>".encode()
    else:
        assert response.body.decode() == (
            '<?xml version="1.0"?>'
            '<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
            f"<Error><Type>{fault}</Type><Code>{code}</Code><Message>it's &lt;bad&gt;</Message>"
            "<Detail/></Error><RequestId>rid</RequestId></ErrorResponse>"
        )


@pytest.mark.parametrize("error", [pytest.param(error, id=error.__name__) for error in ROWS])
def test_every_error_but_the_silent_one_has_a_text_of_its_own(error: type[SQSError]) -> None:
    assert bool(error().message) is (error not in SILENT)
    assert error("said").message == "said"
    assert str(error("said")) == "said"


def test_only_query_speaks_of_a_wsdl_version() -> None:
    error = errors.QueueDoesNotExist()
    told = xmltodict.parse(QueryCodec().write_error(error, "rid").body)["ErrorResponse"]["Error"]
    assert told["Message"] == "The specified queue does not exist for this wsdl version."
    assert error.message == "The specified queue does not exist."


def test_texts_survive_an_interpreter_that_strips_docstrings() -> None:
    code = "from protocol.errors import OverLimit; print(OverLimit().message)"
    told = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, check=True)
    assert told.stdout.decode().strip() == errors.OverLimit.text


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
def test_a_missing_parameter_is_worded_as_sqs_does(
    name: str, error: type[SQSError], message: str
) -> None:
    missing = errors.missing_parameter(name)
    assert type(missing) is error
    assert missing.message == message
