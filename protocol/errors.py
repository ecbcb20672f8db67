"""Every error that SQS answers: shape name, Query code, HTTP status, and whose fault it is.

An error is raised where its rule is and rendered by the codecs alone. Each class is one row of
SQS's error table; its `text` is what AWS says when the rule gives no text of its own.
"""

from __future__ import annotations

from typing import ClassVar

SQS_NAMESPACE = "com.amazonaws.sqs"
"""Where the errors that SQS's model declares live."""

COMMON_NAMESPACE = "com.amazon.coral.service"
"""Where the errors that every AWS service shares live; their shape names end in `Exception`."""


class SQSError(Exception):
    """An error for the wire.

    Class attributes are the row of the table: `shape` (the name in JSON's `__type`), `namespace`,
    `code` (the Query protocol's code, also sent in `x-amzn-query-error`), `status` (HTTP), `text`
    (the default message; where it is empty, JSON leaves the message out) and `bare` (the Query
    protocol answers with nothing but an empty element named after the shape).
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
        """Fill in the row: `code` and `common` (a shared shape's name) default to the class's."""
        super().__init_subclass__()
        cls.shape = common or cls.__name__
        cls.namespace = COMMON_NAMESPACE if common else SQS_NAMESPACE
        cls.code = code or cls.__name__
        cls.status = status

    def __init__(self, message: str | None = None) -> None:
        self.message = self.text if message is None else message
        super().__init__(self.message)

    @property
    def query_message(self) -> str:
        """The text for the Query protocol, which differs from JSON's for one error only."""
        return self.message

    @property
    def sender_fault(self) -> bool:
        """Whether the caller is to blame (4xx) rather than the server (5xx)."""
        return self.status < 500


def missing_parameter(name: str) -> SQSError:
    """Word the absence of a required parameter: SQS has rules of its own for two of them."""
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
        """AWS's Query protocol still speaks of a WSDL version here."""
        return self.message.replace("not exist.", "not exist for this wsdl version.")


class QueueNameExists(SQSError, code="QueueAlreadyExists"):
    """CreateQueue met a queue of that name with other attributes."""

    text = "A queue already exists with the same name and a different value for some attribute"


class QueueDeletedRecently(SQSError, code="AWS.SimpleQueueService.QueueDeletedRecently"):
    """CreateQueue came too soon after DeleteQueue."""

    text = (
        "You must wait 60 seconds after deleting a queue before you can create another with the"
        " same name."
    )


class PurgeQueueInProgress(
    SQSError, code="AWS.SimpleQueueService.PurgeQueueInProgress", status=403
):
    """PurgeQueue came too soon after another."""

    text = "Only one PurgeQueue operation on a queue is allowed every 60 seconds."


class OverLimit(SQSError, status=403):
    """A quota is used up."""

    text = "The specified action violates a limit."


class MessageNotInflight(SQSError, code="AWS.SimpleQueueService.MessageNotInflight"):
    """The message is not in flight; the one error that SQS sends without a text."""

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
    """The request had to be encrypted and signed, and was not."""

    text = "The request was not made over HTTPS or did not use SigV4 for signing."


class RequestThrottled(SQSError, status=403):
    """The caller is too fast; clients retry on this code with this status."""

    text = "Request is throttled."


class InvalidAttributeName(SQSError):
    """There is no such attribute, or not for this kind of queue."""

    text = "The specified attribute doesn't exist."


class InvalidAttributeValue(SQSError):
    """A queue attribute's value is out of its range."""

    text = "A queue attribute value is invalid."


class InvalidMessageContents(SQSError):
    """A body holds characters that XML 1.0 cannot carry."""

    text = (
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to "
        "#xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
    )


class InvalidIdFormat(SQSError):
    """Deprecated in AWS's model, and kept for its sake."""

    text = "The specified receipt handle isn't valid for the current version."


class UnsupportedOperation(SQSError, code="AWS.SimpleQueueService.UnsupportedOperation"):
    """SQS's model has it, but SQS does not do it."""

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
    """Two entries of a batch have one id."""

    text = "Two or more batch entries in the request have the same Id."


class BatchRequestTooLong(SQSError, code="AWS.SimpleQueueService.BatchRequestTooLong"):
    """The entries of a batch are too long together."""

    text = "The length of all the messages put together is more than the limit."


class InvalidBatchEntryId(SQSError, code="AWS.SimpleQueueService.InvalidBatchEntryId"):
    """The id of a batch's entry is malformed."""

    text = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It"
        " can be at most 80 letters long."
    )


class KmsAccessDenied(SQSError, code="KMS.AccessDeniedException"):
    """KMS does not let the caller use the key."""

    text = "The caller doesn't have the required KMS access."


class KmsDisabled(SQSError, code="KMS.DisabledException"):
    """The KMS key is switched off."""

    text = "The KMS key is disabled."


class KmsInvalidKeyUsage(SQSError, code="KMS.InvalidKeyUsageException"):
    """The KMS key is made for something else."""

    text = "The key's usage or algorithm doesn't fit the request."


class KmsInvalidState(SQSError, code="KMS.InvalidStateException"):
    """The KMS key cannot be used as it is now."""

    text = "The state of the specified resource is not valid for this request."


class KmsNotFound(SQSError, code="KMS.NotFoundException"):
    """There is no such KMS key."""

    text = "The specified entity or resource could not be found."


class KmsOptInRequired(SQSError, code="KMS.OptInRequired", status=403):
    """The account is not subscribed to KMS."""

    text = "The specified key policy isn't syntactically or semantically correct."


class KmsThrottled(SQSError, code="KMS.ThrottlingException"):
    """KMS finds the caller too fast."""

    text = "KMS throttles requests for the conditions at hand."


class InvalidParameterValue(SQSError, common="InvalidParameterValueException"):
    """A parameter's value breaks a rule."""

    text = "A value that you submitted for a parameter is invalid."


class MissingParameter(SQSError, common="MissingRequiredParameterException"):
    """A parameter is not there."""

    text = "The request must contain a parameter that is missing."


class InvalidAction(SQSError, common="UnknownOperationException"):
    """There is no such action, or not at this endpoint."""

    text = (
        "The action or operation requested is invalid. Verify that the action is typed correctly."
    )


class NoSuchPath(SQSError, code="InvalidAction", common="UnknownOperationException", status=404):
    """The method and path name neither an action nor a queue."""

    text = "The requested path does not lead to a queue or an action."

    bare = True


class MissingAction(SQSError, common="MissingActionException"):
    """A form names no action."""

    text = "Action is missing in the request parameters"


class MalformedInput(SQSError, common="SerializationException"):
    """The request is no JSON, no form, or holds a value of the wrong kind."""

    text = "The request could not be parsed."


class RequestEntityTooLarge(SQSError, common="RequestEntityTooLargeException", status=413):
    """The body is longer than the server accepts."""

    text = "The request's body is longer than the server accepts."


class RequestTimeout(SQSError, common="RequestTimeoutException", status=408):
    """The client took too long to send the request; clients retry."""

    text = "The request was not received whole within the time allowed."


class AccessDenied(SQSError, common="AccessDeniedException", status=403):
    """The caller may not do this."""

    text = "Access to the resource is denied."


class InvalidClientTokenId(SQSError, common="UnrecognizedClientException", status=403):
    """The access key is unknown."""

    text = "The security token included in the request is invalid."


class SignatureDoesNotMatch(SQSError, common="InvalidSignatureException", status=403):
    """The signature is wrong, or too old."""

    text = (
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    )


class IncompleteSignature(SQSError, common="IncompleteSignatureException"):
    """The signature lacks a part."""

    text = "The request signature does not conform to AWS standards."


class ExpiredToken(SQSError, common="ExpiredTokenException", status=403):
    """The session is over."""

    text = "The security token included in the request is expired"


class InternalFailure(SQSError, common="InternalFailure", status=500):
    """The server failed; clients retry."""

    text = "The request processing has failed because of an unknown error, exception or failure."


class ServiceUnavailable(SQSError, common="ServiceUnavailable", status=503):
    """The server cannot answer just now; clients retry."""

    text = "The request has failed due to a temporary failure of the server."
