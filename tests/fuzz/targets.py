"""What a run that is led by coverage sends where, and what it begins with.

A target takes bytes and raises when something is wrong with what becomes of them: an error that is
not the caller's fault, or an answer that nobody could read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias
from xml.etree import ElementTree

from protocol import names
from protocol.actions import ACTIONS
from protocol.codecs.choice import codec_for
from protocol.errors import SQSError
from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest, WireResponse
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.permissions import Permissions
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.rules import (
    attributes,
    message_attributes,
    move_task_parameters,
    permissions,
    policy_documents,
    queue_parameters,
    redrive_policies,
)
from queueserver.rules.receipt_handles import decode_receipt_handle, encode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from storage.database import Database
from storage.messages.commands import Receipt, Received
from tests.clock import ManualClock
from tests.fuzz import inputs

Target: TypeAlias = Callable[[bytes], None]

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
CONTEXT = RequestContext("000000000000", "us-east-1", "http://localhost")
ARN = "arn:aws:sqs:us-east-1:000000000000:fuzz"
SECRET = bytes(32)
SIGNER = TokenSigner(SECRET)
RUNS_OF_A_DATABASE = 2_000
"""How often one is used: what is sent to it stays there."""

_PARAMETERS = {
    "QueueUrl": "fuzz",
    "QueueName": "new",
    "MessageBody": "x",
    "MaxNumberOfMessages": 2,
    "Label": "label",
    "SourceArn": ARN,
    "AWSAccountIds": ["000000000000"],
    "Actions": ["SendMessage"],
    "TagKeys": ["a"],
    "Tags": {"a": "b"},
    "Attributes": {"VisibilityTimeout": "5", "Policy": "{}"},
    "VisibilityTimeout": 5,
    "MessageAttributes": {"a": {"DataType": "Number", "StringValue": "1.5e3"}},
    "AttributeNames": ["All"],
    "MessageAttributeNames": ["a.*"],
}


def handle(number: int) -> str:
    """Make a receipt handle that the targets know."""
    receipt = Receipt(1, number, 1)
    received = Received(receipt, b"", "", b"", None, False, 0, 0, 0, None)
    return encode_receipt_handle(SIGNER, ARN, received)


def refusal_of(function: Callable[[], object]) -> SQSError | None:
    """Give the error that SQS has for it, if it is refused; that is never a fault of ours."""
    try:
        function()
    except SQSError as refusal:
        error = refusal
    else:
        return None
    assert 400 <= error.status < 500, error
    return error


def examine(answer: WireResponse) -> None:
    """See that an answer can be read by who gets it."""
    assert answer.status < 500
    text = answer.body.decode()
    if answer.content_type == "text/xml":
        ElementTree.fromstring(text)
    elif text:
        json.loads(text)
    assert (answer.query_error or "").isprintable()


# Requests


def json_request(data: bytes) -> WireRequest:
    """Read a line with the action's name, and then a body."""
    target, _, body = data.partition(b"\n")
    return WireRequest("POST", "/", "", JSON, f"AmazonSQS.{target.decode('latin-1')}", "", body)


def query_request(data: bytes) -> WireRequest:
    """Read a line with the path and the query, and then a form."""
    line, _, body = data.partition(b"\n")
    path, _, query = line.decode("latin-1").partition("?")
    method = "POST" if body else "GET"
    return WireRequest(method, f"/{path}", query, FORM, "", "", body)


def read(request: WireRequest) -> None:
    """Let a request be read; a refusal must be one that can be told."""
    codec = codec_for(request)
    error = refusal_of(lambda: codec.read(request))
    if error is not None:
        examine(codec.write_error(error, "request-id"))


class Operations:
    """The actions themselves, on a database in memory that is new from time to time."""

    def __init__(self, read_request: Callable[[bytes], WireRequest]) -> None:
        self._read_request = read_request
        self._loop = asyncio.new_event_loop()
        self._database: Database | None = None
        self._dispatcher: Dispatcher
        self._runs = 0

    def __call__(self, data: bytes) -> None:
        """Answer a request."""
        self._loop.run_until_complete(self._answer(self._read_request(data)))

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._loop.run_until_complete(self._database.close())
        self._loop.close()

    async def _answer(self, request: WireRequest) -> None:
        if self._runs % RUNS_OF_A_DATABASE == 0:
            await self._renew()
        self._runs += 1
        codec = codec_for(request)
        try:
            action, parameters = codec.read(request)
            result = await self._dispatcher.dispatch(CONTEXT, parameters)
        except SQSError as error:
            examine(codec.write_error(error, "request-id"))
        else:
            examine(codec.write_result(action, result, "request-id"))

    async def _renew(self) -> None:
        if self._database is not None:
            await self._database.close()
        clock = ManualClock()
        self._database = database = await Database.open("sqlite://", clock)
        database.secret = SECRET
        # Nobody waits: the clock stands still.
        database.waiters.close()
        cache = QueueCache(database)
        self._dispatcher = Dispatcher(
            Queues(database, cache, clock, cooldowns=False),
            Messages(database, cache, clock, in_flight_limit=120_000),
            MoveTasks(database, clock),
            Permissions(database, cache),
        )
        for name in inputs.QUEUES:
            attributes_ = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            body = json.dumps({"QueueName": name, "Attributes": attributes_}).encode()
            await self._answer_seed("CreateQueue", body)
        for number in range(5):
            body = json.dumps({"QueueUrl": "fuzz", "MessageBody": f"{number}"}).encode()
            await self._answer_seed("SendMessage", body)

    async def _answer_seed(self, action: str, body: bytes) -> None:
        _, parameters = codec_for(json_request(b"\n")).read(
            json_request(action.encode() + b"\n" + body)
        )
        await self._dispatcher.dispatch(CONTEXT, parameters)


# Texts that the rules read


def addresses(data: bytes) -> None:
    """Read a queue's URL, ARN, name and host, and names of attributes."""
    text = data.decode(errors="replace")
    refusal_of(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    names.region_of_host(text)
    refusal_of(lambda: queue_parameters.check_queue_name(text, is_fifo=text.endswith(".fifo")))
    refusal_of(lambda: move_task_parameters.parse_move_task_arn("SourceArn", text))
    refusal_of(lambda: message_attributes.parse_system_attribute_names([text]))
    refusal_of(lambda: message_attributes.parse_attribute_filter([text]))


def handles(data: bytes) -> None:
    """Decode a receipt handle and verify a token; only issued ones may pass."""
    text = data.decode(errors="replace")
    is_valid = refusal_of(lambda: decode_receipt_handle(SIGNER, ARN, text)) is None
    assert not is_valid or text in {handle(number) for number in range(1, 6)}
    if not is_valid:
        assert SIGNER.verify("ListQueues", text) is None


def documents(data: bytes) -> None:
    """Read policies of every kind, and the values of all other attributes."""
    text = data.decode(errors="replace")
    refusal_of(
        lambda: permissions.add_permission(
            policy_documents.parse_policy(text), ARN, "label", ["000000000000"], ["SendMessage"]
        )
    )
    refusal_of(lambda: redrive_policies.parse_redrive_policy(text))
    refusal_of(lambda: redrive_policies.parse_redrive_allow_policy(text))
    for name in attributes.Attributes.__struct_encode_fields__:
        for creating in (True, False):
            refusal_of(partial(attributes.parse_requested, {name: text}, {}, creating=creating))


# What a run begins with


def _values(type_: Type) -> object:
    match type_:
        case Structure(shape):
            return {
                member.wire_name: _PARAMETERS.get(member.wire_name, _values(member.type))
                for member in members(shape)
            }
        case ListOf(item):
            return [_values(item)]
        case MapOf(item):
            return {"a": _values(item)}
        case Scalar("integer"):
            return 1
        case Scalar("boolean"):
            return True
    return "MQ=="


def _requests() -> Iterator[tuple[str, dict[str, object]]]:
    for name, action in ACTIONS.items():
        every = _values(Structure(action.request))
        assert isinstance(every, dict)
        if "ReceiptHandle" in every:
            every["ReceiptHandle"] = handle(1)
        for entry in every.get("Entries", []):
            if "ReceiptHandle" in entry:
                entry["ReceiptHandle"] = handle(2)
        yield name, every
        yield name, {key: every[key] for key in every.keys() & _PARAMETERS.keys()}


def _json_seeds() -> list[bytes]:
    return [name.encode() + b"\n" + json.dumps(given).encode() for name, given in _requests()]


def _query_seeds() -> list[bytes]:
    return [b"\n" + inputs.as_form(name, given) for name, given in _requests()]


_TEXTS = [text.encode(errors="surrogatepass") for text in inputs.MEANINGFUL]
_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Id": "i",
        "Statement": [
            {
                "Sid": "s",
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": ["SQS:SendMessage"],
                "Resource": ARN,
                "Condition": {"ArnLike": {"aws:SourceArn": ARN}},
            }
        ],
    }
).encode()

TARGETS: dict[str, tuple[Callable[[], Target], Callable[[], list[bytes]]]] = {
    "json": (lambda: lambda data: read(json_request(data)), _json_seeds),
    "query": (lambda: lambda data: read(query_request(data)), _query_seeds),
    "json-operations": (lambda: Operations(json_request), _json_seeds),
    "query-operations": (lambda: Operations(query_request), _query_seeds),
    "addresses": (lambda: addresses, lambda: _TEXTS),
    "handles": (lambda: handles, lambda: [handle(n).encode() for n in range(1, 6)]),
    "documents": (lambda: documents, lambda: [*_TEXTS, _POLICY]),
}
"""By name: what makes a target, and what gives its first inputs."""


def words() -> list[bytes]:
    """Give the words that SQS's requests are made of."""
    found = {name.encode() for name in ACTIONS}
    for action in ACTIONS.values():
        found |= set(_names_of(Structure(action.request)))
    return sorted({*found, *_TEXTS, *(b'"%s":' % name for name in found)})


def _names_of(type_: Type) -> Iterator[bytes]:
    match type_:
        case Structure(shape):
            for member in members(shape):
                yield member.wire_name.encode()
                yield from _names_of(member.type)
        case ListOf(item) | MapOf(item):
            yield from _names_of(item)
