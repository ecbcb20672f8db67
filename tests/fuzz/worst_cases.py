"""Requests that take a server the most work: the largest ones, of the units that cost the most."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from queueserver.http.request_body import MAXIMUM_REQUEST_BYTES
from tests.api.raw_http import FORM, json_headers

MIB = 1024 * 1024

Make: TypeAlias = Callable[[], bytes]

SETUP = (
    ("CreateQueue", {"QueueName": "q"}),
    ("CreateQueue", {"QueueName": "quotes"}),
    ("CreateQueue", {"QueueName": "attributes"}),
    (
        "CreateQueue",
        {
            "QueueName": "q.fifo",
            "Attributes": {"FifoQueue": "true", "ContentBasedDeduplication": "true"},
        },
    ),
    *(("SendMessage", {"QueueUrl": "quotes", "MessageBody": '"' * MIB}) for _ in range(10)),
    *(
        (
            "SendMessage",
            {
                "QueueUrl": "attributes",
                "MessageBody": "&" * 90_000,
                "MessageAttributes": {
                    f"a{number}": {"DataType": "String", "StringValue": "é\r\r" * 22_500}
                    for number in range(10)
                },
            },
        )
        for _ in range(10)
    ),
)
"""Actions that the requests below need, with their parameters."""


def _post(headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = ["POST / HTTP/1.1", "Host: localhost", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


def json_request(action: str, body: bytes) -> bytes:
    """Return the bytes of an HTTP request in JSON."""
    return _post(json_headers(action), body)


def form_request(body: bytes) -> bytes:
    """Return the bytes of an HTTP request that is a form."""
    return _post(FORM, body)


def _filled(before: bytes, unit: bytes, after: bytes = b"") -> bytes:
    """Return the longest body that the server reads: one unit, repeated between two texts."""
    count = (MAXIMUM_REQUEST_BYTES - len(before) - len(after)) // len(unit)
    return before + unit * count + after


def _json(action: str, before: str, unit: str, after: str) -> Make:
    queue = b'{"QueueUrl":"q",'
    return lambda: json_request(
        action, _filled(queue + before.encode(), unit.encode(), after.encode())
    )


def _send_json(unit: str, before: str = "") -> Make:
    return _json("SendMessage", f'"MessageBody":"{before}', unit, '"}')


def _unknown_json(item: str) -> Make:
    """Return a request that is decoded member by member, for a wrong type, and has many items."""
    return _json("ReceiveMessage", '"MaxNumberOfMessages":"","x":[0', f",{item}", "]}")


def _attribute_json(before: str, unit: str) -> Make:
    return _json("SendMessage", f'"MessageBody":"x","MessageAttributes":{{{before}', unit, '"}}}')


def _tags_json() -> bytes:
    pairs = (f'"{number}":1' for number in range(600_000))
    return json_request("TagQueue", f'{{"QueueUrl":"q","Tags":{{{",".join(pairs)}}}}}'.encode())


def _form(parameters: str, unit: str, after: str = "") -> Make:
    return lambda: form_request(
        _filled(f"QueueUrl=q&{parameters}".encode(), unit.encode(), after.encode())
    )


def _form_of(name: str) -> Make:
    """Return a form with as many parameters as are allowed; `{}` in a name is their number."""

    def make() -> bytes:
        pairs = "&".join(f"{name.format(number)}=%%zz" for number in range(9_990))
        return form_request(b"Action=SendMessageBatch&QueueUrl=q&" + pairs.encode())

    return make


def _receive_form(queue: str) -> Make:
    body = f"Action=ReceiveMessage&QueueUrl={queue}&MaxNumberOfMessages=10&VisibilityTimeout=0"
    return lambda: form_request(f"{body}&MessageAttributeName.1=All".encode())


def _receive_json(queue: str, *names: str) -> Make:
    parameters = {
        "QueueUrl": queue,
        "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 0,
        "MessageAttributeNames": names,
    }
    return lambda: json_request("ReceiveMessage", json.dumps(parameters).encode())


def _receive_by_url() -> bytes:
    query = "Action=ReceiveMessage&QueueUrl=quotes&MaxNumberOfMessages=10&VisibilityTimeout=0"
    lines = [f"GET /?{query} HTTP/1.1", "Host: localhost", "Accept: application/json", "", ""]
    return "\r\n".join(lines).encode()


WORST_CASES: dict[str, Make] = {
    # Results
    "form: receive 10 MiB of quotes": _receive_form("quotes"),
    "form: receive 100 long attributes": _receive_form("attributes"),
    "JSON: receive 10 MiB of quotes": _receive_json("quotes", "All"),
    "JSON: receive 100 long attributes": _receive_json("attributes", "All"),
    "JSON: receive 90 of 100 long attributes": _receive_json(
        "attributes", *(f"a{number}" for number in range(9))
    ),
    "URL: receive 10 MiB of quotes in JSON": _receive_by_url,
    # JSON
    "JSON: nested arrays": _json("SendMessage", '"x":', "[", "}"),
    "JSON: nested objects after strings": lambda: json_request(
        "SendMessage", _filled(b'{"x":[' + b'"",' * 9_000, b'{"":')
    ),
    "JSON: levels below the limit": _unknown_json("[" * 490 + "]" * 490),
    "JSON: empty arrays": _unknown_json("[]"),
    "JSON: objects": _unknown_json('{"":1}'),
    "JSON: fractions": _unknown_json("1.1"),
    "JSON: numbers of 4,299 digits": _unknown_json("9" * 4_299),
    "JSON: entries": _json("SendMessageBatch", '"Entries":[{}', ",{}", "]}"),
    "JSON: names": _json("ReceiveMessage", '"MessageAttributeNames":[""', ',"a.*"', "]}"),
    "JSON: tags": _tags_json,
    "JSON: number of 8 MiB": _json("SendMessage", '"DelaySeconds":', "9", "}"),
    "JSON: fraction of 8 MiB": _json("SendMessage", '"DelaySeconds":1.', "9", "}"),
    "JSON: spaces": _json("SendMessage", "", " ", "}"),
    "JSON: body of quotes": _send_json('\\"'),
    "JSON: body of backslashes and brackets": _send_json("[\\\\"),
    "JSON: body of two bytes per character": _send_json("é"),
    "JSON: body of escapes": _send_json("\\u00e9"),
    "JSON: body of lone surrogates": _send_json("\\ud800"),
    "JSON: body with a lone surrogate": _send_json("a\\n", "\\ud800"),
    "JSON: body of surrogates in three bytes": lambda: json_request(
        "SendMessage", _filled(b'{"QueueUrl":"q","MessageBody":"', b"\xed\xa0\x80", b'"}')
    ),
    "JSON: binary value": _attribute_json('"a":{"DataType":"Binary","BinaryValue":"', "AAAA"),
    "JSON: queue URL of escapes": lambda: json_request(
        "PurgeQueue", _filled(b'{"QueueUrl":"', b"%", b'"}')
    ),
    "JSON: queue URL of slashes": lambda: json_request(
        "PurgeQueue", _filled(b'{"QueueUrl":"', b"/", b'"}')
    ),
    "JSON: FIFO body": lambda: json_request(
        "SendMessage",
        _filled(b'{"QueueUrl":"q.fifo","MessageGroupId":"g","MessageBody":"', b"a", b'"}'),
    ),
    "JSON: Number of zeros": _attribute_json('"a":{"DataType":"Number","StringValue":"', "0"),
    "JSON: text value": _attribute_json('"a":{"DataType":"String","StringValue":"', "é"),
    "JSON: attribute name": _attribute_json('"', "a."),
    "JSON: ten receipt handles": lambda: json_request(
        "DeleteMessageBatch",
        json.dumps(
            {
                "QueueUrl": "q",
                "Entries": [
                    {"Id": f"{number}", "ReceiptHandle": "A" * 800_000} for number in range(10)
                ],
            }
        ).encode(),
    ),
    # Forms
    "form: separators": _form("Action=SendMessage", "&"),
    "form: dots": _form("Action=SendMessage&", "."),
    "form: escapes": _form("Action=SendMessage&MessageBody=", "%41"),
    "form: escapes that are none": _form("Action=SendMessage&MessageBody=", "%4"),
    "form: escapes, and one that is none": _form("Action=SendMessage&MessageBody=", "%41", "%"),
    "form: escapes of surrogates": _form("Action=SendMessage&MessageBody=", "%ed%a0%80"),
    "form: plus signs": _form("Action=SendMessage&MessageBody=", "+"),
    "form: equals signs": _form("Action=SendMessage&MessageBody=%41", "="),
    "form: action of quotes": _form("Action=", "%22"),
    "form: number of 8 MiB": _form("Action=SendMessage&MessageBody=a&DelaySeconds=", "9"),
    "form: base64": _form(
        "Action=SendMessage&MessageBody=a&MessageAttribute.1.Name=a"
        "&MessageAttribute.1.Value.BinaryValue=",
        "AAAA",
        "%25",
    ),
    "form: names of 9 levels": _form_of("{}.a.b.c.d.e.f.g.h"),
    "form: entries": _form_of("SendMessageBatchRequestEntry.{}.Id"),
    "form: lists in one entry": _form_of(
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringListValue.{}"
    ),
}
"""For each name, a function that makes the bytes of an HTTP request."""
