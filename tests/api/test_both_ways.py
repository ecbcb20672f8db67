"""Both ways in which requests are answered, with and without a task, give the same answers.

One server answers small requests without a task; the other one answers all of them by aiohttp.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.api.live_server import LiveServer, config
from tests.api.raw_http import open_socket, read_until_closed, request_bytes
from tests.clock import ManualClock

# Everything that two runs of the same request may have different: ids, handles and the queue's
# sequence numbers.
_VARIABLE = re.compile(
    rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=\"ReceiptHandle\":\")[^\"]+"
    rb"|(?<=<ReceiptHandle>)[^<]+|(?<=Date: )[^\r]+|(?<=localhost:)[0-9]+"
)

FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"
JSON_TYPE = "Content-Type: application/x-amz-json-1.0"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[LiveServer]]:
    """Yield a server that answers without tasks where it can, and one that never does."""
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("direct", "tasks"):
            path: Path = tmp_path_factory.mktemp(name) / "queueserver.db"
            server = LiveServer(config(f"sqlite:///{path}"), ManualClock())
            stack.callback(server.close)
            servers.append(server)
            for request in (
                request_bytes("CreateQueue", QueueName="q"),
                request_bytes("CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"}),
                request_bytes("GetQueueAttributes", QueueUrl="q"),
                request_bytes("SendMessage", QueueUrl="q", MessageBody="x"),
                request_bytes("ReceiveMessage", QueueUrl="q.fifo"),
            ):
                assert answer(server, request).startswith(b"HTTP/1.1 200 ")
        servers[1].answer_with_tasks_only()
        yield servers


def answer(server: LiveServer, request: bytes) -> bytes:
    """Return everything that the server answers to a client that sends this and nothing else."""
    with open_socket(server.url, request) as client:
        client.shutdown(1)
        with contextlib.suppress(ConnectionResetError):
            return read_until_closed(client)
        return b"reset"


def comparable(content: bytes) -> tuple[bytes, Sequence[bytes], bytes]:
    """Return the status line, the header lines in some order, and the body.

    Whether the connection is closed depends on which comes first, the answer or the client's end.
    """
    head, _, body = _VARIABLE.sub(b"*", content).partition(b"\r\n\r\n")
    status, *lines = head.replace(b"\r\nConnection: close", b"").split(b"\r\n")
    return status, sorted(lines), body


def assert_same_answers(servers: Sequence[LiveServer], request: bytes) -> None:
    direct, by_task = (comparable(answer(server, request)) for server in servers)
    assert direct == by_task


def post(*lines: str, body: str = "", first: str = "POST / HTTP/1.1") -> bytes:
    length = f"Content-Length: {len(body.encode())}"
    head = "\r\n".join([first, "Host: localhost", *lines, length, "", ""])
    return head.encode(errors="surrogateescape") + body.encode()


def json_post(action: str, body: str) -> bytes:
    return post(JSON_TYPE, f"X-Amz-Target: AmazonSQS.{action}", body=body)


REQUESTS = {
    "send": request_bytes("SendMessage", QueueUrl="q", MessageBody="x"),
    "send with attributes": request_bytes(
        "SendMessage",
        QueueUrl="q",
        MessageBody="ä\N{GRINNING FACE}",
        MessageAttributes={"a": {"DataType": "Number", "StringValue": "1"}},
    ),
    "send to a FIFO queue": request_bytes(
        "SendMessage",
        QueueUrl="q.fifo",
        MessageBody="x",
        MessageGroupId="g",
        MessageDeduplicationId="d",
    ),
    "send ten": request_bytes(
        "SendMessageBatch",
        QueueUrl="q",
        Entries=[{"Id": str(n), "MessageBody": "x" * n} for n in range(10)],
    ),
    "receive": request_bytes(
        "ReceiveMessage",
        QueueUrl="q",
        MaxNumberOfMessages=10,
        AttributeNames=["SenderId"],
        VisibilityTimeout=0,
    ),
    "receive nothing": request_bytes("ReceiveMessage", QueueUrl="q.fifo"),
    "long poll of messages": request_bytes(
        "ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20, VisibilityTimeout=0
    ),
    "delete with a bad handle": request_bytes("DeleteMessage", QueueUrl="q", ReceiptHandle="?"),
    "batch of bad handles": request_bytes(
        "DeleteMessageBatch", QueueUrl="q", Entries=[{"Id": "1", "ReceiptHandle": "?"}]
    ),
    "too long a timeout": request_bytes(
        "ChangeMessageVisibility", QueueUrl="q", ReceiptHandle="?", VisibilityTimeout=50_000
    ),
    "missing queue": request_bytes("SendMessage", QueueUrl="none", MessageBody="x"),
    "missing body": request_bytes("SendMessage", QueueUrl="q"),
    "unknown action": request_bytes("Dance"),
    "other action": request_bytes("ListQueues"),
    "not JSON": json_post("SendMessage", "{"),
    "lone surrogate": json_post("SendMessage", '{"QueueUrl":"q","MessageBody":"\\ud800"}'),
    "deep JSON": json_post("SendMessage", "[" * 1_000),
    "Query send": post(FORM_TYPE, body="Action=SendMessage&QueueUrl=q&MessageBody=x"),
    "Query receive": post(FORM_TYPE, body="Action=ReceiveMessage&QueueUrl=q&VisibilityTimeout=0"),
    "Query send to a path": post(
        FORM_TYPE,
        body="Action=SendMessage&MessageBody=x",
        first="POST /000000000000/q HTTP/1.1",
    ),
    "Query error": post(FORM_TYPE, body="Action=SendMessage&QueueUrl=none&MessageBody=x"),
    "no action": post(FORM_TYPE),
    "nothing known": post(),
    "no content type": post(
        "X-Amz-Target: AmazonSQS.SendMessage", body='{"QueueUrl":"q","MessageBody":"x"}'
    ),
    "headers in lower case": post(
        JSON_TYPE.lower(),
        "x-amz-target: AmazonSQS.SendMessage",
        body='{"QueueUrl":"q","MessageBody":"x"}',
    ),
    "spaces around values": post(
        JSON_TYPE,
        "X-Amz-Target: \t AmazonSQS.SendMessage \t ",
        body='{"QueueUrl":"q","MessageBody":"x"}',
    ),
    "value that is not ASCII": post(
        JSON_TYPE, "X-Amz-Target: AmazonSQS.Sänd", "User-Agent: \udcff", body="{}"
    ),
    "account in the signature": post(
        JSON_TYPE,
        "X-Amz-Target: AmazonSQS.SendMessage",
        "Authorization: AWS4-HMAC-SHA256 Credential=111111111111/20260101/us-east-1/sqs/"
        "aws4_request, SignedHeaders=host, Signature=0",
        body='{"QueueUrl":"q","MessageBody":"x"}',
    ),
    "signature in another order": post(
        JSON_TYPE,
        "X-Amz-Target: AmazonSQS.ReceiveMessage",
        "Authorization: AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0, "
        "Credential=111111111111/20260101/us-east-1/sqs/aws4_request",
        body='{"QueueUrl":"q.fifo"}',
    ),
    "forwarded host": post(
        JSON_TYPE,
        "X-Amz-Target: AmazonSQS.GetQueueUrl",
        "X-Forwarded-Host: example.com",
        "X-Forwarded-Proto: https",
        body='{"QueueName":"q"}',
    ),
    "close": post("Connection: close", JSON_TYPE, "X-Amz-Target: AmazonSQS.ListQueues", body="{}"),
    "two requests": request_bytes("ListQueues") + request_bytes("ReceiveMessage", QueueUrl="q"),
    "health": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_request_gets_the_same_answer_with_and_without_a_task(
    servers: Sequence[LiveServer], request_: bytes
) -> None:
    assert_same_answers(servers, request_)


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    """Return a request of `REQUESTS` in which some bytes are replaced, inserted or removed."""
    request = bytearray(draw(st.sampled_from(list(REQUESTS.values()))))
    pieces = st.sampled_from(
        [
            b"",
            b"\r\n",
            b"\n",
            b" ",
            b":",
            b"\x00",
            b"\xff",
            b"0",
            b"+1",
            b"\t",
            b"\r\n ",
            b"\r\nHost:",
        ]
    ) | st.binary(max_size=3)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(request)))
        end = start + draw(st.integers(0, 2))
        request[start:end] = draw(pieces)
    return bytes(request)


@given(damaged_requests())
@example(REQUESTS["send"].replace(b"Content-Length: ", b"Content-Length: 0"))
@example(REQUESTS["send"].replace(b"Host: localhost", b"Host:"))
@example(REQUESTS["send"].replace(b"Host: localhost\r\n", b""))
@example(REQUESTS["send"].replace(b"POST", b"\r\n\r\nPOST"))
@example(REQUESTS["send"].replace(b"HTTP/1.1", b"HTTP/1.1 "))
def test_damaged_request_gets_the_same_answer_with_and_without_a_task(
    servers: Sequence[LiveServer], request_: bytes
) -> None:
    assert_same_answers(servers, request_)
