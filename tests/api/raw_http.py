"""HTTP requests without an SDK, and their unparsed answers."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

from tests.certificates import TlsSocket, usual_client
from tests.waiting import TIMEOUT_SECONDS

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

_LISTS = {
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "AttributeNames": "AttributeName",
    "BinaryListValues": "BinaryListValue",
    "MessageAttributeNames": "MessageAttributeName",
    "MessageSystemAttributeNames": "AttributeName",
    "StringListValues": "StringListValue",
    "TagKeys": "TagKey",
}
_MAPS = {
    "Attributes": ("Attribute", "Name"),
    "MessageAttributes": ("MessageAttribute", "Name"),
    "MessageSystemAttributes": ("MessageSystemAttribute", "Name"),
    "Tags": ("Tag", "Key"),
    "tags": ("Tag", "Key"),
}

_REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ERROR = re.compile(
    r'<\?xml version="1.0"\?>'
    r'<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
    r"<Error><Type>(Sender|Receiver)</Type><Code>([^<]*)</Code><Message>([^<]*)</Message>"
    r"<Detail/></Error><RequestId>([^<]*)</RequestId></ErrorResponse>"
)


class Answer(NamedTuple):
    """A response, with header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def json_headers(action: str) -> dict[str, str]:
    return {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"AmazonSQS.{action}",
    }


def connection(url: str) -> http.client.HTTPConnection:
    address = urlsplit(url)
    host, port = address.hostname or "", address.port
    if address.scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_SECONDS, context=usual_client()
        )
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)


def exchange(
    url: str,
    method: str = "POST",
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    body: str | bytes | Iterable[bytes] = b"",
) -> Answer:
    """Send a request and read the answer; an iterable body is sent in chunks."""
    client = connection(url)
    try:
        client.request(method, path, body, headers or {}, encode_chunked=True)
        return read_answer(client)
    finally:
        client.close()


def read_answer(client: http.client.HTTPConnection) -> Answer:
    response = client.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def open_socket(url: str, content: bytes, receive_buffer: int | None = None) -> socket.socket:
    """Connect and send bytes, without reading an answer.

    `receive_buffer` is the size in bytes of the kernel's buffer for unread data.
    """
    address = urlsplit(url)
    host = address.hostname or ""
    client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    client.settimeout(TIMEOUT_SECONDS)
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect((host, address.port or 0))
    if address.scheme == "https":
        client = cast("socket.socket", TlsSocket(client, usual_client(), host))
    client.sendall(content)
    return client


def request_bytes(action: str, **parameters: object) -> bytes:
    """Return a JSON request as the bytes of an HTTP request."""
    body = json.dumps(parameters).encode()
    lines = [
        "POST / HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in json_headers(action).items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def head(action: str, length: int) -> bytes:
    lines = [f"{name}: {value}" for name, value in json_headers(action).items()]
    first = ["POST / HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def read_until_closed(client: socket.socket) -> bytes:
    """Read until the server closes the connection; fail if it resets it."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


def form(action: str, parameters: Mapping[str, Any]) -> str:
    """Encode the parameters of a JSON request as the Query protocol's form."""
    pairs = {"Action": action, **dict(_flattened(action, "", parameters))}
    return urlencode(pairs, errors="surrogatepass")


def _flattened(action: str, prefix: str, members: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in members.items():
        if value is None:
            continue
        if name in _MAPS:
            yield from _flat_map(action, prefix, name, value)
        elif isinstance(value, list):
            flat = prefix + (_LISTS.get(name) or f"{action}RequestEntry")
            if not value:
                yield flat, ""
            for number, item in enumerate(value, 1):
                if isinstance(item, dict):
                    yield from _flattened(action, f"{flat}.{number}.", item)
                else:
                    yield f"{flat}.{number}", item
        else:
            yield prefix + name, value


def _flat_map(
    action: str, prefix: str, name: str, entries: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    flat, key_name = _MAPS[name]  # an SDK writes nothing for an empty map
    for number, (key, value) in enumerate(entries.items(), 1):
        yield f"{prefix}{flat}.{number}.{key_name}", key
        if isinstance(value, dict):
            yield from _flattened(action, f"{prefix}{flat}.{number}.Value.", value)
        elif value is not None:
            yield f"{prefix}{flat}.{number}.Value", value


def call_action(url: str, protocol: str, action: str, parameters: Mapping[str, Any]) -> Answer:
    """Call an action in a protocol, with parameters in the shape of JSON."""
    if protocol == "json":
        return exchange(url, headers=json_headers(action), body=json.dumps(parameters))
    return exchange(url, headers=FORM, body=form(action, parameters))


class ParsedError(NamedTuple):
    """An error answer; only JSON has a type."""

    status: int
    type: str | None
    code: str
    text: str


def parse_error(answer: Answer) -> ParsedError:
    """Parse an error answer; check its envelope, content type, fault and request id."""
    request_id = answer.headers["x-amzn-requestid"]
    assert _REQUEST_ID.fullmatch(request_id)
    if answer.headers["content-type"] == "text/xml":
        found = _ERROR.fullmatch(answer.body.decode())
        assert found, answer.body
        fault, code, text, named_id = found.groups()
        assert named_id == request_id
        error = ParsedError(answer.status, None, code, text)
    else:
        assert answer.headers["content-type"] == "application/x-amz-json-1.0"
        document = json.loads(answer.body)
        code, fault = answer.headers["x-amzn-query-error"].split(";")
        error = ParsedError(answer.status, document.pop("__type"), code, document.pop("message"))
        assert not document
    assert fault == ("Receiver" if answer.status >= 500 else "Sender")
    return error


def parse_raw_error(answer: bytes) -> ParsedError:
    first, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = first.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    kind = headers.pop("x-amzn-query-error").lower()
    error = json.loads(body)
    code = error["__type"].partition("#")[2].removesuffix("Exception")
    assert kind.startswith(code.lower())
    return ParsedError(int(status.split()[1]), headers.get("connection"), code, error["message"])
