"""Errors of the actions on messages, row by row."""

from __future__ import annotations

from tests.api.attribute_error_rows import BAD_CHARACTERS, attribute, unknown_type
from tests.api.error_rows import (
    GARBAGE,
    IN_FLIGHT_LIMIT,
    IPV,
    MP,
    EntryRow,
    Parameters,
    Room,
    Row,
    value,
)

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


def _send_rows() -> dict[str, Row]:
    no_body = "The request must contain the parameter MessageBody."
    delay = value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    rows = {
        "no body": Row("SendMessage", {"QueueUrl": "plain"}, MP, no_body),
        "empty body": Row("SendMessage", _send(MessageBody=""), MP, no_body),
        "too long for SQS": Row("SendMessage", _send(MessageBody="x" * (MIB + 1)), IPV, _long(MIB)),
        "too long for the queue": Row(
            "SendMessage", _send("small", MessageBody="é" * 512 + "x"), IPV, _long(1024)
        ),
        "DelaySeconds=901": Row("SendMessage", _send(DelaySeconds=901), IPV, delay),
        "DelaySeconds=-1": Row("SendMessage", _send(DelaySeconds=-1), IPV, delay),
        "a delay on FIFO": Row(
            "SendMessage", _fifo(DelaySeconds=5), IPV, value("DelaySeconds", f"{WRONG_TYPE}.")
        ),
        "deduplication on standard": Row(
            "SendMessage",
            _send(MessageDeduplicationId="d"),
            IPV,
            value("MessageDeduplicationId", f"{WRONG_TYPE}."),
        ),
        "FIFO without group": Row(
            "SendMessage", _send("ordered.fifo", MessageDeduplicationId="d"), MP, NO_GROUP
        ),
        "FIFO without deduplication": Row(
            "SendMessage", _send("ordered.fifo", MessageGroupId="g"), IPV, NO_DEDUPLICATION
        ),
        "list-valued attribute": Row(
            "SendMessage",
            _send(MessageAttributes={"a": {"DataType": "String", "StringListValues": ["x"]}}),
            "UnsupportedOperation",
            "Message attribute list values in SendMessage operation are not supported.",
        ),
        "binary-list-valued attribute": Row(
            "SendMessage",
            _send(MessageAttributes={"a": {"DataType": "Binary", "BinaryListValues": ["eA=="]}}),
            "UnsupportedOperation",
            "Message attribute list values in SendMessage operation are not supported.",
        ),
    }
    forbidden = ("\x00", "\x08", "\x0b", "\x0c", "\x1f", "\ud800", "\udfff", "\ufffe", "\uffff")
    for character in forbidden:
        given = _send(MessageBody=f"a{character}b")
        rows[f"character {ord(character):X}"] = Row(
            "SendMessage", given, "InvalidMessageContents", BAD_CHARACTERS
        )
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        text = value(name, f"{name} {ALPHABET}.")
        for what, bad in {"spaces": "a b", "letters": "é", "129 letters": "x" * 129}.items():
            rows[f"{name} of {what}"] = Row("SendMessage", {**_fifo(), name: bad}, IPV, text)
        rows[f"empty {name}"] = Row("SendMessage", {**_fifo(), name: ""}, IPV, text)
    rows["group of spaces on standard"] = Row(
        "SendMessage",
        _send(MessageGroupId="a b"),
        IPV,
        value("MessageGroupId", f"MessageGroupId {ALPHABET}."),
    )
    return {f"SendMessage: {name}": row for name, row in rows.items()}


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


def _batch_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    bad_id = (
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It "
        "can be at most 80 letters long."
    )
    for action, entry in _BATCHES.items():
        eleven = [{"Id": str(number), **entry} for number in range(11)]
        first = {"Id": "a", **entry}
        found = {
            "no entries": ([], "EmptyBatchRequest", _at_least_one(action)),
            "entries absent": (None, "EmptyBatchRequest", _at_least_one(action)),
            "eleven": (
                eleven,
                "TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10. You have sent 11.",
            ),
            "empty id": ([{"Id": "", **entry}], "InvalidBatchEntryId", bad_id),
            "id of 81": ([{"Id": "x" * 81, **entry}], "InvalidBatchEntryId", bad_id),
            "id of letters": ([{"Id": "é", **entry}], "InvalidBatchEntryId", bad_id),
            "no id": (
                [first, dict(entry)],
                MP,
                f"The request must contain the parameter {action}RequestEntry.2.Id.",
            ),
            "one id twice": ([first, first], "BatchEntryIdsNotDistinct", "Id a repeated."),
        }
        for name, (entries, error, text) in found.items():
            given: Parameters = {"QueueUrl": "plain", "Entries": entries}
            rows[f"{action}: {name}"] = Row(action, given, error, text)
    return rows


def _send_batch_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    rows["SendMessageBatch: too long together"] = Row(
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
    rows["SendMessageBatch: FIFO without group"] = Row(
        "SendMessageBatch",
        _entries("content.fifo", grouped, {"Id": "b", "MessageBody": "y"}),
        IPV,
        NO_GROUP,
    )
    rows["SendMessageBatch: FIFO without deduplication"] = Row(
        "SendMessageBatch",
        _entries(
            "ordered.fifo", {**grouped, "MessageDeduplicationId": "d"}, {**grouped, "Id": "b"}
        ),
        IPV,
        NO_DEDUPLICATION,
    )
    rows["ChangeMessageVisibilityBatch: no timeout"] = Row(
        "ChangeMessageVisibilityBatch",
        _entries("plain", {"Id": "a", "ReceiptHandle": "x"}),
        MP,
        "The request must contain the parameter "
        "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout.",
    )
    return rows


def _at_least_one(action: str) -> str:
    return f"There should be at least one {action}RequestEntry in the request."


def _too_many_in_flight(room: Room) -> Parameters:
    name = room.fresh()
    for _ in range(IN_FLIGHT_LIMIT):
        room.handle(name)
    return {"QueueUrl": name}


def _expired(room: Room) -> Parameters:
    return {"QueueUrl": "content.fifo", "ReceiptHandle": room.expired_handle()}


def _of_another_queue(room: Room) -> Parameters:
    return {"QueueUrl": "small", "ReceiptHandle": room.deleted_handle()}


def _to_change(room: Room) -> Parameters:
    name = room.fresh()
    return {"QueueUrl": name, "ReceiptHandle": room.handle(name)}


def _spent_attempt(room: Room) -> Parameters:
    name = room.fresh(".fifo", FifoQueue="true", ContentBasedDeduplication="true")
    attempt = {"QueueUrl": name, "ReceiveRequestAttemptId": "attempt"}
    handle = room.handle(name, ReceiveRequestAttemptId="attempt")
    room.ask("DeleteMessage", QueueUrl=name, ReceiptHandle=handle)
    return attempt


def _receive_rows() -> dict[str, Row]:
    ranges = {
        "MaxNumberOfMessages": ((0, 11), "Must be between 1 and 10, if provided."),
        "WaitTimeSeconds": ((-1, 21), "Must be >= 0 and <= 20, if provided."),
        "VisibilityTimeout": ((-1, 43_201), "Must be >= 0 and <= 43200, if provided."),
    }
    rows = {
        f"ReceiveMessage: {name}={bad}": Row(
            "ReceiveMessage", {"QueueUrl": "plain", name: bad}, IPV, value(name, reason)
        )
        for name, (values, reason) in ranges.items()
        for bad in values
    }
    rows["ReceiveMessage: too many in flight"] = Row(
        "ReceiveMessage",
        _too_many_in_flight,
        "OverLimit",
        "Too many messages have been received without being deleted.\n"
        "Please delete your received messages or let them timeout before receiving more.",
    )
    attempt = "ReceiveRequestAttemptId"
    for what, bad in {"spaces": "a b", "129 letters": "x" * 129}.items():
        rows[f"attempt: {attempt} of {what}"] = Row(
            "ReceiveMessage",
            {"QueueUrl": "content.fifo", attempt: bad},
            IPV,
            value(attempt, f"{attempt} {ALPHABET}."),
        )
    rows["attempt: an attempt that cannot be repeated"] = Row(
        "ReceiveMessage",
        _spent_attempt,
        IPV,
        value(
            attempt,
            "The receiveRequestAttemptId is not valid anymore since the receive call is not "
            "retryable.",
        ),
    )
    return rows


_GARBAGE = {"QueueUrl": "plain", "ReceiptHandle": GARBAGE}


def _delete_rows() -> dict[str, Row]:
    delete = "DeleteMessage"
    return {
        "DeleteMessage: garbage": Row(delete, _GARBAGE, "ReceiptHandleIsInvalid", BAD_HANDLE),
        "DeleteMessage: no handle": Row(delete, {"QueueUrl": "plain"}, MP, NO_HANDLE),
        "DeleteMessage: empty handle": Row(
            delete, {"QueueUrl": "plain", "ReceiptHandle": ""}, MP, NO_HANDLE
        ),
        "DeleteMessage: of another queue": Row(
            delete,
            _of_another_queue,
            "ReceiptHandleIsInvalid",
            'The input receipt handle "<ReceiptHandle>" is not a valid receipt handle.',
        ),
        "DeleteMessage: expired on FIFO": Row(delete, _expired, IPV, EXPIRED),
    }


def _change_rows() -> dict[str, Row]:
    change = "ChangeMessageVisibility"
    total = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]."

    def late(room: Room) -> Parameters:
        given = _to_change(room)
        room.clock.advance(2)
        return {**given, "VisibilityTimeout": 43_199}

    return {
        "ChangeMessageVisibility: garbage": Row(
            change, {**_GARBAGE, "VisibilityTimeout": 1}, "ReceiptHandleIsInvalid", BAD_HANDLE
        ),
        "ChangeMessageVisibility: no handle": Row(
            change, {"QueueUrl": "plain", "VisibilityTimeout": 1}, MP, NO_HANDLE
        ),
        "ChangeMessageVisibility: deleted": Row(
            change,
            lambda room: {
                "QueueUrl": "plain",
                "ReceiptHandle": room.deleted_handle(),
                "VisibilityTimeout": 1,
            },
            IPV,
            value(
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            ),
        ),
        "ChangeMessageVisibility: no timeout": Row(
            change, _GARBAGE, MP, "The request must contain the parameter VisibilityTimeout."
        ),
        "ChangeMessageVisibility: VisibilityTimeout=43201": Row(
            change,
            {**_GARBAGE, "VisibilityTimeout": 43_201},
            IPV,
            value("VisibilityTimeout", "Must be between 0 and 43200."),
        ),
        "ChangeMessageVisibility: VisibilityTimeout=-1": Row(
            change,
            {**_GARBAGE, "VisibilityTimeout": -1},
            IPV,
            value("VisibilityTimeout", "Must be between 0 and 43200."),
        ),
        "ChangeMessageVisibility: over twelve hours": Row(
            change, late, IPV, value("VisibilityTimeout", total)
        ),
        "ChangeMessageVisibility: expired on FIFO": Row(
            change, lambda room: {**_expired(room), "VisibilityTimeout": 1}, IPV, EXPIRED
        ),
    }


MESSAGE_ROWS = {
    **_send_rows(),
    **_batch_rows(),
    **_send_batch_rows(),
    **_receive_rows(),
    **_delete_rows(),
    **_change_rows(),
}


_FAILS = "InvalidParameterValue"


def _sent_entry_rows() -> dict[str, EntryRow]:
    send, ipv = "SendMessageBatch", _FAILS
    fifo = {"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    no_body = "The request must contain the parameter SendMessageBatchRequestEntry.1.MessageBody."

    def sent(queue: str = "plain", **others: object) -> Parameters:
        return _entries(queue, {"Id": "a", "MessageBody": "x", **others})

    def wrong_fifo(**others: object) -> Parameters:
        return _entries("ordered.fifo", {**fifo, **others})

    size = (
        "One or more parameters cannot be validated. Reason: "
        "Message must be shorter than 1024 bytes."
    )
    return {
        "SendMessageBatch: too long": EntryRow(
            send, sent("small", MessageBody="x" * 1025), ipv, size
        ),
        "SendMessageBatch: characters": EntryRow(
            send, sent(MessageBody="\x01"), "InvalidMessageContents", BAD_CHARACTERS
        ),
        "SendMessageBatch: half of a surrogate pair": EntryRow(
            send, sent(MessageBody="a\ud800"), "InvalidMessageContents", BAD_CHARACTERS
        ),
        "SendMessageBatch: no body": EntryRow(
            send, sent(MessageBody=None), "MissingParameter", no_body
        ),
        "SendMessageBatch: empty body": EntryRow(
            send, sent(MessageBody=""), "MissingParameter", no_body
        ),
        "SendMessageBatch: deduplication on standard": EntryRow(
            send, sent(MessageDeduplicationId="d"), ipv, WRONG_TYPE
        ),
        "SendMessageBatch: DelaySeconds=901": EntryRow(
            send,
            sent(DelaySeconds=901),
            ipv,
            value("DelaySeconds", "DelaySeconds must be >= 0 and <= 900.", "901"),
        ),
        "SendMessageBatch: a delay on FIFO": EntryRow(
            send, wrong_fifo(DelaySeconds=5), ipv, value("DelaySeconds", f"{WRONG_TYPE}.", "5")
        ),
        "SendMessageBatch: group": EntryRow(
            send, wrong_fifo(MessageGroupId="a b"), ipv, f"MessageGroupId {ALPHABET}"
        ),
        "SendMessageBatch: empty group": EntryRow(
            send, wrong_fifo(MessageGroupId=""), ipv, f"MessageGroupId {ALPHABET}"
        ),
        "SendMessageBatch: deduplication id": EntryRow(
            send, wrong_fifo(MessageDeduplicationId="é"), ipv, f"MessageDeduplicationId {ALPHABET}"
        ),
        "SendMessageBatch: attribute": EntryRow(
            send,
            sent(MessageAttributes=attribute(DataType="Text")),
            ipv,
            unknown_type("(user)", "Hello"),
        ),
    }


def _handled_entry_rows() -> dict[str, EntryRow]:
    delete, change, ipv = "DeleteMessageBatch", "ChangeMessageVisibilityBatch", _FAILS
    timeout = "VisibilityTimeout must be an integer between 0 and 43200."
    gone = "Message does not exist or is not available for visibility timeout change."
    bad = _entries("plain", {"Id": "a", "ReceiptHandle": GARBAGE, "VisibilityTimeout": 1})

    def expired(room: Room) -> Parameters:
        return _entries("content.fifo", {"Id": "a", "ReceiptHandle": room.expired_handle()})

    def deleted(room: Room) -> Parameters:
        handle = room.deleted_handle()
        return _entries("plain", {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 1})

    return {
        "DeleteMessageBatch: garbage": EntryRow(delete, bad, "ReceiptHandleIsInvalid", BAD_HANDLE),
        "DeleteMessageBatch: no handle": EntryRow(
            delete, _entries("plain", {"Id": "a"}), "MissingParameter", NO_HANDLE
        ),
        "DeleteMessageBatch: expired on FIFO": EntryRow(delete, expired, ipv, EXPIRED),
        "ChangeMessageVisibilityBatch: garbage": EntryRow(
            change, bad, "ReceiptHandleIsInvalid", BAD_HANDLE
        ),
        "ChangeMessageVisibilityBatch: no handle": EntryRow(
            change,
            _entries("plain", {"Id": "a", "VisibilityTimeout": 1}),
            "MissingParameter",
            NO_HANDLE,
        ),
        "ChangeMessageVisibilityBatch: VisibilityTimeout=43201": EntryRow(
            change,
            _entries("plain", {"Id": "a", "ReceiptHandle": "x", "VisibilityTimeout": 43_201}),
            ipv,
            value("VisibilityTimeout", timeout, "43201"),
        ),
        "ChangeMessageVisibilityBatch: deleted": EntryRow(
            change, deleted, ipv, value("ReceiptHandle", gone)
        ),
    }


ENTRY_ROWS = {**_sent_entry_rows(), **_handled_entry_rows()}
