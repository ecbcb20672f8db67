"""Error cases of the actions on messages."""

from __future__ import annotations

from tests.api.error_cases import (
    GARBAGE,
    IN_FLIGHT_LIMIT,
    IPV,
    MP,
    CaseServer,
    EntryErrorCase,
    ErrorCase,
    Parameters,
    value,
)
from tests.api.message_attribute_error_cases import BAD_CHARACTERS, attribute, unknown_type

MIB = 1_048_576
WRONG_TYPE = "The request include parameter that is not valid for this queue type"
NO_GROUP = "The request must contain the parameter MessageGroupId."
NO_DEDUPLICATION = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
    "provided explicitly"
)
ALPHABET = "can only include alphanumeric and punctuation characters. 1 to 128 in length"
BAD_HANDLE = 'The input receipt handle "garbage" is not a valid receipt handle.'
EXPIRED = value("ReceiptHandle", "The receipt handle has expired.")
NO_HANDLE = "The request must contain the parameter ReceiptHandle."


def _send(queue: str = "plain", **others: object) -> Parameters:
    return {"QueueUrl": queue, "MessageBody": "x", **others}


def _fifo(**others: object) -> Parameters:
    return _send("ordered.fifo", MessageGroupId="g", MessageDeduplicationId="d", **others)


def _send_cases() -> dict[str, ErrorCase]:
    no_body = "The request must contain the parameter MessageBody."
    delay = value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    cases = {
        "no body": ErrorCase("SendMessage", {"QueueUrl": "plain"}, MP, no_body),
        "empty body": ErrorCase("SendMessage", _send(MessageBody=""), MP, no_body),
        "longer than the SQS limit": ErrorCase(
            "SendMessage", _send(MessageBody="x" * (MIB + 1)), IPV, _long(MIB)
        ),
        "longer than the queue limit": ErrorCase(
            "SendMessage", _send("small", MessageBody="é" * 512 + "x"), IPV, _long(1024)
        ),
        "DelaySeconds=901": ErrorCase("SendMessage", _send(DelaySeconds=901), IPV, delay),
        "DelaySeconds=-1": ErrorCase("SendMessage", _send(DelaySeconds=-1), IPV, delay),
        "delay on FIFO": ErrorCase(
            "SendMessage", _fifo(DelaySeconds=5), IPV, value("DelaySeconds", f"{WRONG_TYPE}.")
        ),
        "deduplication on standard": ErrorCase(
            "SendMessage",
            _send(MessageDeduplicationId="d"),
            IPV,
            value("MessageDeduplicationId", f"{WRONG_TYPE}."),
        ),
        "FIFO without group": ErrorCase(
            "SendMessage", _send("ordered.fifo", MessageDeduplicationId="d"), MP, NO_GROUP
        ),
        "FIFO without deduplication": ErrorCase(
            "SendMessage", _send("ordered.fifo", MessageGroupId="g"), IPV, NO_DEDUPLICATION
        ),
        "list-valued attribute": ErrorCase(
            "SendMessage",
            _send(MessageAttributes={"a": {"DataType": "String", "StringListValues": ["x"]}}),
            "UnsupportedOperation",
            "Message attribute list values in SendMessage operation are not supported.",
        ),
        "binary-list-valued attribute": ErrorCase(
            "SendMessage",
            _send(MessageAttributes={"a": {"DataType": "Binary", "BinaryListValues": ["eA=="]}}),
            "UnsupportedOperation",
            "Message attribute list values in SendMessage operation are not supported.",
        ),
    }
    return {f"SendMessage: {name}": case for name, case in cases.items()}


def _send_character_cases() -> dict[str, ErrorCase]:
    cases: dict[str, ErrorCase] = {}
    forbidden = ("\x00", "\x08", "\x0b", "\x0c", "\x1f", "\ud800", "\udfff", "\ufffe", "\uffff")
    for character in forbidden:
        given = _send(MessageBody=f"a{character}b")
        cases[f"character {ord(character):X}"] = ErrorCase(
            "SendMessage", given, "InvalidMessageContents", BAD_CHARACTERS
        )
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        text = value(name, f"{name} {ALPHABET}.")
        for what, bad in {
            "spaces": "a b",
            "non-ASCII letters": "é",
            "129 letters": "x" * 129,
        }.items():
            cases[f"{name} of {what}"] = ErrorCase("SendMessage", {**_fifo(), name: bad}, IPV, text)
        cases[f"empty {name}"] = ErrorCase("SendMessage", {**_fifo(), name: ""}, IPV, text)
    cases["group with spaces on standard"] = ErrorCase(
        "SendMessage",
        _send(MessageGroupId="a b"),
        IPV,
        value("MessageGroupId", f"MessageGroupId {ALPHABET}."),
    )
    return {f"SendMessage: {name}": case for name, case in cases.items()}


def _long(maximum: int) -> str:
    reason = f"Message must be shorter than {maximum} bytes."
    return f"One or more parameters are invalid. Reason: {reason}"


def _entries(queue: str, *entries: Parameters) -> Parameters:
    return {"QueueUrl": queue, "Entries": list(entries)}


_BATCHES: dict[str, Parameters] = {
    "SendMessageBatch": {"MessageBody": "x"},
    "DeleteMessageBatch": {"ReceiptHandle": "x"},
    "ChangeMessageVisibilityBatch": {"ReceiptHandle": "x", "VisibilityTimeout": 1},
}


def _batch_cases() -> dict[str, ErrorCase]:
    cases: dict[str, ErrorCase] = {}
    bad_id = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It "
        "can be at most 80 letters long."
    )
    for action, entry in _BATCHES.items():
        eleven = [{"Id": str(number), **entry} for number in range(11)]
        first = {"Id": "a", **entry}
        found = {
            "empty entries": ([], "EmptyBatchRequest", _at_least_one(action)),
            "missing entries": (None, "EmptyBatchRequest", _at_least_one(action)),
            "11 entries": (
                eleven,
                "TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10. You have sent 11.",
            ),
            "empty id": ([{"Id": "", **entry}], "InvalidBatchEntryId", bad_id),
            "id of 81 characters": ([{"Id": "x" * 81, **entry}], "InvalidBatchEntryId", bad_id),
            "id of non-ASCII letters": ([{"Id": "é", **entry}], "InvalidBatchEntryId", bad_id),
            "no id": (
                [first, dict(entry)],
                MP,
                f"The request must contain the parameter {action}RequestEntry.2.Id.",
            ),
            "duplicate id": ([first, first], "BatchEntryIdsNotDistinct", "Id a repeated."),
        }
        for name, (entries, error, text) in found.items():
            given: Parameters = {"QueueUrl": "plain", "Entries": entries}
            cases[f"{action}: {name}"] = ErrorCase(action, given, error, text)
    return cases


def _send_batch_cases() -> dict[str, ErrorCase]:
    cases: dict[str, ErrorCase] = {}
    cases["SendMessageBatch: too long in total"] = ErrorCase(
        "SendMessageBatch",
        _entries(
            "small",
            {"Id": "a", "MessageBody": "x" * (MIB // 2)},
            {"Id": "b", "MessageBody": "x" * (MIB // 2 + 1)},
        ),
        "BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )
    grouped = {"Id": "a", "MessageBody": "x", "MessageGroupId": "g"}
    cases["SendMessageBatch: FIFO without group"] = ErrorCase(
        "SendMessageBatch",
        _entries("content.fifo", grouped, {"Id": "b", "MessageBody": "y"}),
        IPV,
        NO_GROUP,
    )
    cases["SendMessageBatch: FIFO without deduplication"] = ErrorCase(
        "SendMessageBatch",
        _entries(
            "ordered.fifo", {**grouped, "MessageDeduplicationId": "d"}, {**grouped, "Id": "b"}
        ),
        IPV,
        NO_DEDUPLICATION,
    )
    cases["ChangeMessageVisibilityBatch: no timeout"] = ErrorCase(
        "ChangeMessageVisibilityBatch",
        _entries("plain", {"Id": "a", "ReceiptHandle": "x"}),
        MP,
        "The request must contain the parameter "
        "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout.",
    )
    return cases


def _at_least_one(action: str) -> str:
    return f"There should be at least one {action}RequestEntry in the request."


def _too_many_in_flight(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    for _ in range(IN_FLIGHT_LIMIT):
        server.receive_handle(name)
    return {"QueueUrl": name}


def _expired(server: CaseServer) -> Parameters:
    return {"QueueUrl": "content.fifo", "ReceiptHandle": server.expired_handle()}


def _of_another_queue(server: CaseServer) -> Parameters:
    return {"QueueUrl": "small", "ReceiptHandle": server.deleted_handle()}


def _to_change(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    return {"QueueUrl": name, "ReceiptHandle": server.receive_handle(name)}


def _attempt_of_deleted_message(server: CaseServer) -> Parameters:
    name = server.create_fresh(".fifo", FifoQueue="true", ContentBasedDeduplication="true")
    attempt = {"QueueUrl": name, "ReceiveRequestAttemptId": "attempt"}
    handle = server.receive_handle(name, ReceiveRequestAttemptId="attempt")
    server.call("DeleteMessage", QueueUrl=name, ReceiptHandle=handle)
    return attempt


def _receive_cases() -> dict[str, ErrorCase]:
    ranges = {
        "MaxNumberOfMessages": ((0, 11), "Must be between 1 and 10, if provided."),
        "WaitTimeSeconds": ((-1, 21), "Must be >= 0 and <= 20, if provided."),
        "VisibilityTimeout": ((-1, 43_201), "Must be >= 0 and <= 43200, if provided."),
    }
    cases = {
        f"ReceiveMessage: {name}={bad}": ErrorCase(
            "ReceiveMessage", {"QueueUrl": "plain", name: bad}, IPV, value(name, reason)
        )
        for name, (values, reason) in ranges.items()
        for bad in values
    }
    for name, kind in {
        "AttributeNames": "system",
        "MessageAttributeNames": "(user)",
        "MessageSystemAttributeNames": "system",
    }.items():
        cases[f"ReceiveMessage: 101 {name}"] = ErrorCase(
            "ReceiveMessage",
            {"QueueUrl": "plain", name: ["All"] * 101},
            IPV,
            f"Number of message {kind} attribute names [101] exceeds the allowed maximum [100].",
        )
        cases[f"ReceiveMessage: {name} of 259 bytes"] = ErrorCase(
            "ReceiveMessage",
            {"QueueUrl": "plain", name: ["x" * 259]},
            IPV,
            f"Message {kind} attribute name must be shorter than 256 bytes.",
        )
    cases["ReceiveMessage: too many in flight"] = ErrorCase(
        "ReceiveMessage",
        _too_many_in_flight,
        "OverLimit",
        "Too many messages have been received without being deleted.\n"
        "Please delete your received messages or let them timeout before receiving more.",
    )
    attempt = "ReceiveRequestAttemptId"
    for what, bad in {"spaces": "a b", "129 letters": "x" * 129}.items():
        cases[f"attempt: {attempt} of {what}"] = ErrorCase(
            "ReceiveMessage",
            {"QueueUrl": "content.fifo", attempt: bad},
            IPV,
            value(attempt, f"{attempt} {ALPHABET}."),
        )
    cases["attempt: message of the attempt deleted"] = ErrorCase(
        "ReceiveMessage",
        _attempt_of_deleted_message,
        IPV,
        value(
            attempt,
            "The receiveRequestAttemptId is not valid anymore since the receive call is not "
            "retryable.",
        ),
    )
    return cases


_GARBAGE = {"QueueUrl": "plain", "ReceiptHandle": GARBAGE}


def _delete_cases() -> dict[str, ErrorCase]:
    delete = "DeleteMessage"
    return {
        "DeleteMessage: garbage": ErrorCase(delete, _GARBAGE, "ReceiptHandleIsInvalid", BAD_HANDLE),
        "DeleteMessage: no handle": ErrorCase(delete, {"QueueUrl": "plain"}, MP, NO_HANDLE),
        "DeleteMessage: empty handle": ErrorCase(
            delete, {"QueueUrl": "plain", "ReceiptHandle": ""}, MP, NO_HANDLE
        ),
        "DeleteMessage: handle of another queue": ErrorCase(
            delete,
            _of_another_queue,
            "ReceiptHandleIsInvalid",
            'The input receipt handle "<ReceiptHandle>" is not a valid receipt handle.',
        ),
        "DeleteMessage: expired handle on FIFO": ErrorCase(delete, _expired, IPV, EXPIRED),
    }


def _change_cases() -> dict[str, ErrorCase]:
    change = "ChangeMessageVisibility"
    total = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]."

    def received_2_s_ago(server: CaseServer) -> Parameters:
        given = _to_change(server)
        server.clock.advance(2)
        return {**given, "VisibilityTimeout": 43_199}

    return {
        "ChangeMessageVisibility: garbage": ErrorCase(
            change, {**_GARBAGE, "VisibilityTimeout": 1}, "ReceiptHandleIsInvalid", BAD_HANDLE
        ),
        "ChangeMessageVisibility: no handle": ErrorCase(
            change, {"QueueUrl": "plain", "VisibilityTimeout": 1}, MP, NO_HANDLE
        ),
        "ChangeMessageVisibility: deleted message": ErrorCase(
            change,
            lambda server: {
                "QueueUrl": "plain",
                "ReceiptHandle": server.deleted_handle(),
                "VisibilityTimeout": 1,
            },
            IPV,
            value(
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            ),
        ),
        "ChangeMessageVisibility: no timeout": ErrorCase(
            change, _GARBAGE, MP, "The request must contain the parameter VisibilityTimeout."
        ),
        "ChangeMessageVisibility: VisibilityTimeout=43201": ErrorCase(
            change,
            {**_GARBAGE, "VisibilityTimeout": 43_201},
            IPV,
            value("VisibilityTimeout", "Must be between 0 and 43200."),
        ),
        "ChangeMessageVisibility: VisibilityTimeout=-1": ErrorCase(
            change,
            {**_GARBAGE, "VisibilityTimeout": -1},
            IPV,
            value("VisibilityTimeout", "Must be between 0 and 43200."),
        ),
        "ChangeMessageVisibility: total over 12 hours": ErrorCase(
            change, received_2_s_ago, IPV, value("VisibilityTimeout", total)
        ),
        "ChangeMessageVisibility: expired handle on FIFO": ErrorCase(
            change, lambda server: {**_expired(server), "VisibilityTimeout": 1}, IPV, EXPIRED
        ),
    }


MESSAGE_CASES = {
    **_send_cases(),
    **_send_character_cases(),
    **_batch_cases(),
    **_send_batch_cases(),
    **_receive_cases(),
    **_delete_cases(),
    **_change_cases(),
}


_INVALID = "InvalidParameterValue"


def _send_entry_cases() -> dict[str, EntryErrorCase]:
    send, ipv = "SendMessageBatch", _INVALID
    fifo = {"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    no_body = "The request must contain the parameter SendMessageBatchRequestEntry.1.MessageBody."

    def entry(queue: str = "plain", **others: object) -> Parameters:
        return _entries(queue, {"Id": "a", "MessageBody": "x", **others})

    def fifo_entry(**others: object) -> Parameters:
        return _entries("ordered.fifo", {**fifo, **others})

    size = (
        "One or more parameters cannot be validated. Reason: "
        "Message must be shorter than 1024 bytes."
    )
    return {
        "SendMessageBatch: too long": EntryErrorCase(
            send, entry("small", MessageBody="x" * 1025), ipv, size
        ),
        "SendMessageBatch: invalid character": EntryErrorCase(
            send, entry(MessageBody="\x01"), "InvalidMessageContents", BAD_CHARACTERS
        ),
        "SendMessageBatch: lone surrogate": EntryErrorCase(
            send, entry(MessageBody="a\ud800"), "InvalidMessageContents", BAD_CHARACTERS
        ),
        "SendMessageBatch: no body": EntryErrorCase(
            send, entry(MessageBody=None), "MissingParameter", no_body
        ),
        "SendMessageBatch: empty body": EntryErrorCase(
            send, entry(MessageBody=""), "MissingParameter", no_body
        ),
        "SendMessageBatch: deduplication on standard": EntryErrorCase(
            send, entry(MessageDeduplicationId="d"), ipv, WRONG_TYPE
        ),
        "SendMessageBatch: DelaySeconds=901": EntryErrorCase(
            send,
            entry(DelaySeconds=901),
            ipv,
            value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900.", "901"),
        ),
        "SendMessageBatch: delay on FIFO": EntryErrorCase(
            send, fifo_entry(DelaySeconds=5), ipv, value("DelaySeconds", f"{WRONG_TYPE}.", "5")
        ),
        "SendMessageBatch: invalid group": EntryErrorCase(
            send, fifo_entry(MessageGroupId="a b"), ipv, f"MessageGroupId {ALPHABET}"
        ),
        "SendMessageBatch: empty group": EntryErrorCase(
            send, fifo_entry(MessageGroupId=""), ipv, f"MessageGroupId {ALPHABET}"
        ),
        "SendMessageBatch: invalid deduplication id": EntryErrorCase(
            send, fifo_entry(MessageDeduplicationId="é"), ipv, f"MessageDeduplicationId {ALPHABET}"
        ),
        "SendMessageBatch: invalid attribute": EntryErrorCase(
            send,
            entry(MessageAttributes=attribute(DataType="Text")),
            ipv,
            unknown_type("(user)", "Hello"),
        ),
    }


def _handle_entry_cases() -> dict[str, EntryErrorCase]:
    delete, change, ipv = "DeleteMessageBatch", "ChangeMessageVisibilityBatch", _INVALID
    timeout = "VisibilityTimeout must be an integer between 0 and 43200."
    gone = "Message does not exist or is not available for visibility timeout change."
    bad = _entries("plain", {"Id": "a", "ReceiptHandle": GARBAGE, "VisibilityTimeout": 1})

    def expired(server: CaseServer) -> Parameters:
        return _entries("content.fifo", {"Id": "a", "ReceiptHandle": server.expired_handle()})

    def deleted(server: CaseServer) -> Parameters:
        handle = server.deleted_handle()
        return _entries("plain", {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 1})

    return {
        "DeleteMessageBatch: garbage": EntryErrorCase(
            delete, bad, "ReceiptHandleIsInvalid", BAD_HANDLE
        ),
        "DeleteMessageBatch: no handle": EntryErrorCase(
            delete, _entries("plain", {"Id": "a"}), "MissingParameter", NO_HANDLE
        ),
        "DeleteMessageBatch: expired handle on FIFO": EntryErrorCase(delete, expired, ipv, EXPIRED),
        "ChangeMessageVisibilityBatch: garbage": EntryErrorCase(
            change, bad, "ReceiptHandleIsInvalid", BAD_HANDLE
        ),
        "ChangeMessageVisibilityBatch: no handle": EntryErrorCase(
            change,
            _entries("plain", {"Id": "a", "VisibilityTimeout": 1}),
            "MissingParameter",
            NO_HANDLE,
        ),
        "ChangeMessageVisibilityBatch: VisibilityTimeout=43201": EntryErrorCase(
            change,
            _entries("plain", {"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 43_201}),
            ipv,
            value("VisibilityTimeout", timeout, "43201"),
        ),
        "ChangeMessageVisibilityBatch: deleted message": EntryErrorCase(
            change, deleted, ipv, value("ReceiptHandle", gone)
        ),
    }


ENTRY_CASES = {**_send_entry_cases(), **_handle_entry_cases()}
