"""Every error that SQS answers: shape name, Query code, HTTP status, and whose fault it is.

An error is raised where its rule is and rendered by the codecs alone. Each class is one row of
SQS's error table; its docstring is the text that AWS sends when the rule gives none of its own.
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
    `code` (the Query protocol's code, also sent in `x-amzn-query-error`) and `status` (HTTP).
    """

    shape: ClassVar[str] = ""
    namespace: ClassVar[str] = SQS_NAMESPACE
    code: ClassVar[str] = ""
    status: ClassVar[int] = 400

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
        self.message = (self.__doc__ or "") if message is None else message
        super().__init__(self.message)

    @property
    def query_message(self) -> str:
        """The text for the Query protocol, which differs from JSON's for one error only."""
        return self.message

    @property
    def sender_fault(self) -> bool:
        """Whether the caller is to blame (4xx) rather than the server (5xx)."""
        return self.status < 500


class QueueDoesNotExist(SQSError, code="AWS.SimpleQueueService.NonExistentQueue"):
    """The specified queue does not exist."""

    @property
    def query_message(self) -> str:
        """AWS's Query protocol still speaks of a WSDL version here [aws-recorded]."""
        return self.message.replace("not exist.", "not exist for this wsdl version.")


class QueueNameExists(SQSError, code="QueueAlreadyExists"):
    """A queue already exists with the same name and a different value for some attribute."""


class QueueDeletedRecently(SQSError, code="AWS.SimpleQueueService.QueueDeletedRecently"):
    """You must wait 60 seconds after deleting a queue before you can create another with the same name."""  # noqa: E501


class PurgeQueueInProgress(
    SQSError, code="AWS.SimpleQueueService.PurgeQueueInProgress", status=403
):
    """Only one PurgeQueue operation on a queue is allowed every 60 seconds."""


class OverLimit(SQSError, status=403):
    """The specified action violates a limit."""


class MessageNotInflight(SQSError, code="AWS.SimpleQueueService.MessageNotInflight"):
    """The specified message isn't in flight."""


class ReceiptHandleIsInvalid(SQSError, status=404):
    """The input receipt handle is invalid."""


class ResourceNotFoundException(SQSError, status=404):
    """One or more specified resources don't exist."""


class InvalidAddress(SQSError, status=404):
    """The specified ID is invalid."""


class InvalidSecurity(SQSError, status=403):
    """The request was not made over HTTPS or did not use SigV4 for signing."""


class RequestThrottled(SQSError, status=403):
    """Request is throttled."""


class InvalidAttributeName(SQSError):
    """The specified attribute doesn't exist."""


class InvalidAttributeValue(SQSError):
    """A queue attribute value is invalid."""


class InvalidMessageContents(SQSError):
    """Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"""  # noqa: D415, E501


class InvalidIdFormat(SQSError):
    """The specified receipt handle isn't valid for the current version."""


class UnsupportedOperation(SQSError, code="AWS.SimpleQueueService.UnsupportedOperation"):
    """Unsupported operation."""


class EmptyBatchRequest(SQSError, code="AWS.SimpleQueueService.EmptyBatchRequest"):
    """The batch request doesn't contain any entries."""


class TooManyEntriesInBatchRequest(
    SQSError, code="AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
):
    """The batch request contains more entries than permissible."""


class BatchEntryIdsNotDistinct(SQSError, code="AWS.SimpleQueueService.BatchEntryIdsNotDistinct"):
    """Two or more batch entries in the request have the same Id."""


class BatchRequestTooLong(SQSError, code="AWS.SimpleQueueService.BatchRequestTooLong"):
    """The length of all the messages put together is more than the limit."""


class InvalidBatchEntryId(SQSError, code="AWS.SimpleQueueService.InvalidBatchEntryId"):
    """A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."""  # noqa: E501


class KmsAccessDenied(SQSError, code="KMS.AccessDeniedException"):
    """The caller doesn't have the required KMS access."""


class KmsDisabled(SQSError, code="KMS.DisabledException"):
    """The KMS key is disabled."""


class KmsInvalidKeyUsage(SQSError, code="KMS.InvalidKeyUsageException"):
    """The key's usage or algorithm doesn't fit the request."""


class KmsInvalidState(SQSError, code="KMS.InvalidStateException"):
    """The state of the specified resource is not valid for this request."""


class KmsNotFound(SQSError, code="KMS.NotFoundException"):
    """The specified entity or resource could not be found."""


class KmsOptInRequired(SQSError, code="KMS.OptInRequired", status=403):
    """The specified key policy isn't syntactically or semantically correct."""


class KmsThrottled(SQSError, code="KMS.ThrottlingException"):
    """KMS throttles requests for the conditions at hand."""


class InvalidParameterValue(SQSError, common="InvalidParameterValueException"):
    """A value that you submitted for a parameter is invalid."""


class MissingParameter(SQSError, common="MissingRequiredParameterException"):
    """The request must contain a parameter that is missing."""


class InvalidAction(SQSError, common="UnknownOperationException"):
    """The action or operation requested is invalid. Verify that the action is typed correctly."""


class NoSuchPath(SQSError, code="InvalidAction", common="UnknownOperationException", status=404):
    """The requested path does not lead to a queue or an action."""


class MissingAction(SQSError, common="MissingActionException"):
    """Action is missing in the request parameters"""  # noqa: D415


class MalformedInput(SQSError, common="SerializationException"):
    """The request could not be parsed."""


class RequestEntityTooLarge(SQSError, common="RequestEntityTooLargeException", status=413):
    """The request's body is longer than the server accepts."""


class AccessDenied(SQSError, common="AccessDeniedException", status=403):
    """Access to the resource is denied."""


class InvalidClientTokenId(SQSError, common="UnrecognizedClientException", status=403):
    """The security token included in the request is invalid."""


class SignatureDoesNotMatch(SQSError, common="InvalidSignatureException", status=403):
    """The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."""  # noqa: E501


class IncompleteSignature(SQSError, common="IncompleteSignatureException"):
    """The request signature does not conform to AWS standards."""


class ExpiredToken(SQSError, common="ExpiredTokenException", status=403):
    """The security token included in the request is expired"""  # noqa: D415


class InternalFailure(SQSError, common="InternalFailure", status=500):
    """The request processing has failed because of an unknown error, exception or failure."""


class ServiceUnavailable(SQSError, common="ServiceUnavailable", status=503):
    """The request has failed due to a temporary failure of the server."""
