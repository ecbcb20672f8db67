"""The errors of SQS: shape name, Query code, HTTP status and default text.

The code that checks a rule raises the error; the codecs encode it. Each class is one row of SQS's
error table.
"""

from __future__ import annotations

from typing import ClassVar

SQS_NAMESPACE = "com.amazonaws.sqs"
"""The namespace of the errors that the SQS service model declares."""

LONGEST_MESSAGE = 4_096
"""Characters of an error's text, which may quote a value of megabytes; the middle is cut out."""

COMMON_NAMESPACE = "com.amazon.coral.service"
"""The namespace of the errors that all AWS services share; shape names end in `Exception`."""


class SQSError(Exception):
    """An error that is sent to the client.

    Attributes:
        shape: the name in `__type` of the JSON protocol.
        namespace: the namespace in `__type`.
        code: the code of the Query protocol, also sent in x-amzn-query-error.
        status: the HTTP status.
        text: the default message; if it is empty, the JSON protocol omits the message.
        bare: whether the Query protocol answers with only an empty element named after the shape.
        message: the message of this instance, of at most about `LONGEST_MESSAGE` characters.
        reason: why the server rejects the request, for the operator's log, if `message` does not
            say it; the client never receives it.
        denial: who may not do what and why, as fields of a line in the log, if access control
            rejects the request; the client never receives it.
    """

    shape: ClassVar[str] = ""
    namespace: ClassVar[str] = SQS_NAMESPACE
    code: ClassVar[str] = ""
    status: ClassVar[int] = 400
    text: ClassVar[str] = ""
    bare: ClassVar[bool] = False

    def __init_subclass__(
        cls, *, code: str | None = None, status: int = 400, common: str | None = None
    ) -> None:
        """Set the class attributes; `code` and `shape` default to the name of the class."""
        super().__init_subclass__()
        cls.shape = common or cls.__name__
        cls.namespace = COMMON_NAMESPACE if common else SQS_NAMESPACE
        cls.code = code or cls.__name__
        cls.status = status

    def __init__(self, message: str | None = None, *, reason: str = "", denial: str = "") -> None:
        text = self.text if message is None else message
        if len(text) > LONGEST_MESSAGE:
            half = LONGEST_MESSAGE // 2
            text = f"{text[:half]}...{text[-half:]}"
        self.message = text
        self.reason = reason
        self.denial = denial
        super().__init__(text)

    @property
    def query_message(self) -> str:
        """Return the message for the Query protocol; it differs from JSON's for one error."""
        return self.message

    @property
    def sender_fault(self) -> bool:
        """Return whether the client caused the error (4xx) and not the server (5xx)."""
        return self.status < 500


def missing_parameter(name: str) -> SQSError:
    """Return the error for a missing required parameter; SQS has special ones for two of them."""
    if name == "QueueUrl":
        return QueueDoesNotExist()
    if name == "QueueName":
        reason = "Must specify a queue name."
        return InvalidParameterValue(f"Value for parameter QueueName is invalid. Reason: {reason}")
    return MissingParameter(f"The request must contain the parameter {name}.")


class QueueDoesNotExist(SQSError, code="AWS.SimpleQueueService.NonExistentQueue"):
    """No queue has this URL or name."""

    text = "The specified queue does not exist."

    @property
    def query_message(self) -> str:
        """Return the message with the WSDL version that AWS adds in the Query protocol."""
        return self.message.replace("not exist.", "not exist for this wsdl version.")


class QueueNameExists(SQSError, code="QueueAlreadyExists"):
    """A queue of that name exists with other attributes (CreateQueue)."""

    text = "A queue already exists with the same name and a different value for some attribute"


class QueueDeletedRecently(SQSError, code="AWS.SimpleQueueService.QueueDeletedRecently"):
    """The name was deleted less than 60 s ago (CreateQueue)."""

    text = (
        "You must wait 60 seconds after deleting a queue before you can create another with the"
        " same name."
    )


class PurgeQueueInProgress(
    SQSError, code="AWS.SimpleQueueService.PurgeQueueInProgress", status=403
):
    """The queue was purged less than 60 s ago (PurgeQueue)."""

    text = "Only one PurgeQueue operation on a queue is allowed every 60 seconds."


class OverLimit(SQSError, status=403):
    """A quota is exhausted."""

    text = "The specified action violates a limit."


class MessageNotInflight(SQSError, code="AWS.SimpleQueueService.MessageNotInflight"):
    """The message is not in flight; SQS sends this error without a text."""

    text = ""


class ReceiptHandleIsInvalid(SQSError, status=404):
    """The receipt handle was not issued for this queue."""

    text = "The input receipt handle is invalid."


class ResourceNotFoundException(SQSError, status=404):
    """A message move task, or a queue named by its ARN, does not exist."""

    text = "One or more specified resources don't exist."


class InvalidAddress(SQSError, status=404):
    """The address does not suit the action."""

    text = "The specified ID is invalid."


class InvalidSecurity(SQSError, status=403):
    """The request was not sent over HTTPS, or not signed."""

    text = "The request was not made over HTTPS or did not use SigV4 for signing."


class RequestThrottled(SQSError, status=403):
    """The client sends too many requests; SDKs retry."""

    text = "Request is throttled."


class InvalidAttributeName(SQSError):
    """The attribute does not exist, or not for this type of queue."""

    text = "The specified attribute doesn't exist."


class InvalidAttributeValue(SQSError):
    """A queue attribute's value is out of its range."""

    text = "A queue attribute value is invalid."


class InvalidMessageContents(SQSError):
    """A body contains characters that XML 1.0 cannot represent."""

    text = (
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to "
        "#xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )


class InvalidIdFormat(SQSError):
    """Deprecated in the service model of AWS; never raised."""

    text = "The specified receipt handle isn't valid for the current version."


class UnsupportedOperation(SQSError, code="AWS.SimpleQueueService.UnsupportedOperation"):
    """The service model has it, but SQS does not support it."""

    text = "Unsupported operation."


class EmptyBatchRequest(SQSError, code="AWS.SimpleQueueService.EmptyBatchRequest"):
    """A batch has no entries."""

    text = "The batch request doesn't contain any entries."


class TooManyEntriesInBatchRequest(
    SQSError, code="AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
):
    """A batch has more than ten entries."""

    text = "The batch request contains more entries than permissible."


class BatchEntryIdsNotDistinct(SQSError, code="AWS.SimpleQueueService.BatchEntryIdsNotDistinct"):
    """Two entries of a batch have the same id."""

    text = "Two or more batch entries in the request have the same Id."


class BatchRequestTooLong(SQSError, code="AWS.SimpleQueueService.BatchRequestTooLong"):
    """The total size of the entries of a batch exceeds the limit."""

    text = "The length of all the messages put together is more than the limit."


class InvalidBatchEntryId(SQSError, code="AWS.SimpleQueueService.InvalidBatchEntryId"):
    """The id of a batch entry is malformed."""

    text = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It"
        " can be at most 80 letters long."
    )


class KmsAccessDenied(SQSError, code="KMS.AccessDeniedException"):
    """The caller may not use the KMS key."""

    text = "The caller doesn't have the required KMS access."


class KmsDisabled(SQSError, code="KMS.DisabledException"):
    """The KMS key is disabled."""

    text = "The KMS key is disabled."


class KmsInvalidKeyUsage(SQSError, code="KMS.InvalidKeyUsageException"):
    """The KMS key has another usage or algorithm."""

    text = "The key's usage or algorithm doesn't fit the request."


class KmsInvalidState(SQSError, code="KMS.InvalidStateException"):
    """The KMS key is in a state that forbids its use."""

    text = "The state of the specified resource is not valid for this request."


class KmsNotFound(SQSError, code="KMS.NotFoundException"):
    """The KMS key does not exist."""

    text = "The specified entity or resource could not be found."


class KmsOptInRequired(SQSError, code="KMS.OptInRequired", status=403):
    """The account is not subscribed to KMS."""

    text = "The specified key policy isn't syntactically or semantically correct."


class KmsThrottled(SQSError, code="KMS.ThrottlingException"):
    """KMS throttles the caller."""

    text = "KMS throttles requests for the conditions at hand."


class InvalidParameterValue(SQSError, common="InvalidParameterValueException"):
    """A parameter's value breaks a rule."""

    text = "A value that you submitted for a parameter is invalid."


class MissingParameter(SQSError, common="MissingRequiredParameterException"):
    """A required parameter is missing."""

    text = "The request must contain a parameter that is missing."


class InvalidAction(SQSError, common="UnknownOperationException"):
    """The action is unknown, or not allowed at this endpoint."""

    text = (
        "The action or operation requested is invalid. Verify that the action is typed correctly."
    )


class NoSuchPath(SQSError, code="InvalidAction", common="UnknownOperationException", status=404):
    """The path is neither the endpoint nor a queue, or the method is not allowed."""

    text = "The requested path does not lead to a queue or an action."

    bare = True


class MissingAction(SQSError, common="MissingActionException"):
    """A form has no `Action`."""

    text = "Action is missing in the request parameters"


class MalformedInput(SQSError, common="SerializationException"):
    """The request is not valid JSON or not a valid form, or a value has the wrong type."""

    text = "The request could not be parsed."


class RequestEntityTooLarge(SQSError, common="RequestEntityTooLargeException", status=413):
    """The body exceeds the size limit of the server."""

    text = "The request's body is longer than the server accepts."


class RequestUriTooLong(SQSError, common="RequestUriTooLongException", status=414):
    """The request line exceeds the size limit of the server."""

    text = "The request's URI is longer than the server accepts."


class RequestHeaderSectionTooLarge(
    SQSError, common="RequestHeaderSectionTooLargeException", status=431
):
    """The headers exceed the size limits of the server."""

    text = "The request's headers are larger than the server accepts."


class RequestTimeout(SQSError, common="RequestTimeoutException", status=408):
    """The client took too long to send the request; clients retry."""

    text = "The request was not received whole within the time allowed."


class AccessDenied(SQSError, common="AccessDeniedException", status=403):
    """The principal is not allowed to do this."""

    text = "Access to the resource is denied."


class InvalidClientTokenId(SQSError, common="UnrecognizedClientException", status=403):
    """The access key is unknown."""

    text = "The security token included in the request is invalid."


class SignatureDoesNotMatch(SQSError, common="InvalidSignatureException", status=403):
    """The signature is wrong or expired."""

    text = (
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    )


class IncompleteSignature(SQSError, common="IncompleteSignatureException"):
    """A part of the signature is missing."""

    text = "The request signature does not conform to AWS standards."


class MalformedQueryString(SQSError, common="MalformedQueryStringException"):
    """The path or the query string of a signed request can be read in more than one way."""

    text = "The query string contains a syntax error."


class ExpiredToken(SQSError, common="ExpiredTokenException", status=403):
    """The session token has expired."""

    text = "The security token included in the request is expired"


class InternalFailure(SQSError, common="InternalFailure", status=500):
    """The server failed; clients retry."""

    text = "The request processing has failed because of an unknown error, exception or failure."


class ServiceUnavailable(SQSError, common="ServiceUnavailable", status=503):
    """The server is temporarily unavailable; clients retry."""

    text = "The request has failed due to a temporary failure of the server."
