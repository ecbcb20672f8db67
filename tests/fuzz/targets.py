"""The targets of coverage-guided fuzzing, and their seed inputs.

A target takes bytes. It raises if they lead to an error that is the server's fault, or to a
response that a client cannot parse.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias
from xml.etree import ElementTree

import msgspec

from protocol import names
from protocol.actions import ACTIONS
from protocol.codecs.choice import codec_for
from protocol.errors import SQSError
from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest, WireResponse
from queueserver.actions.direct import DirectActions, NeedsTask
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
from tests.access.modes import ACCESS_OFF
from tests.clock import ManualClock
from tests.fuzz import inputs, policies
from tests.fuzz.signature_target import (
    error_responses,
    request_of,
    signature_rejection,
    signature_seeds,
)

Target: TypeAlias = Callable[[bytes], None]

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
CONTEXT = RequestContext("000000000000", "us-east-1", "http://localhost")
ARN = "arn:aws:sqs:us-east-1:000000000000:fuzz"
SECRET = bytes(32)
SIGNER = TokenSigner(SECRET, ARN)
REQUESTS_PER_DATABASE = 2_000
"""Requests before the database is replaced, because each may leave messages and queues in it."""

_VALID_PARAMETERS = {
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


def receipt_handle(number: int) -> str:
    """Return a receipt handle that the targets accept."""
    receipt = Receipt(1, number, 1)
    received = Received(receipt, b"", "", b"", None, False, 0, 0, 0, None)
    return encode_receipt_handle(SIGNER, received)


def rejection_of(function: Callable[[], object]) -> SQSError | None:
    """Return the error that rejects a call, which must be the sender's fault, or None."""
    try:
        function()
    except SQSError as raised:
        error = raised
    else:
        return None
    assert 400 <= error.status < 500, error
    return error


def assert_valid_response(response: WireResponse) -> None:
    """Assert that a client can parse a response."""
    assert response.status < 500
    text = response.body.decode()
    if response.content_type == "text/xml":
        ElementTree.fromstring(text)
    elif text:
        json.loads(text)
    assert (response.query_error or "").isprintable()


# Requests


def json_request(data: bytes) -> WireRequest:
    """Build a request from a line with the action's name and a body."""
    target, _, body = data.partition(b"\n")
    return WireRequest("POST", "/", "", JSON, f"AmazonSQS.{target.decode('latin-1')}", "", body)


def query_request(data: bytes) -> WireRequest:
    """Build a request from a line with path and query, and a form."""
    line, _, body = data.partition(b"\n")
    path, _, query = line.decode("latin-1").partition("?")
    method = "POST" if body else "GET"
    return WireRequest(method, f"/{path}", query, FORM, "", "", body)


def parse(request: WireRequest) -> None:
    """Parse a request; if it is rejected, encode the error."""
    codec = codec_for(request)
    error = rejection_of(lambda: codec.read(request))
    if error is not None:
        assert_valid_response(codec.write_error(error, "request-id"))


class ActionsTarget:
    """All actions, on a database in memory that is replaced from time to time."""

    def __init__(self, read_request: Callable[[bytes], WireRequest]) -> None:
        self._read_request = read_request
        self._loop = asyncio.new_event_loop()
        self._database: Database | None = None
        self._dispatcher: Dispatcher
        self._request_count = 0

    def __call__(self, data: bytes) -> None:
        """Run the action of a request, and encode its result or error."""
        self._loop.run_until_complete(self._run(self._read_request(data)))

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._loop.run_until_complete(self._database.close())
        self._loop.close()

    async def _run(self, request: WireRequest) -> None:
        if self._request_count % REQUESTS_PER_DATABASE == 0:
            await self._replace_database()
        self._request_count += 1
        codec = codec_for(request)
        try:
            action, parameters = codec.read(request)
            result = await self._answer(parameters)
        except SQSError as error:
            assert_valid_response(codec.write_error(error, "request-id"))
        else:
            assert_valid_response(codec.write_result(action, result, "request-id"))

    async def _answer(self, parameters: msgspec.Struct) -> msgspec.Struct | None:
        """Run an action without a task if that is possible, as the HTTP endpoint does."""
        answered: asyncio.Future[msgspec.Struct | Exception | None] = self._loop.create_future()
        if self._dispatcher.begin(CONTEXT, parameters, answered.set_result) is not None:
            answer = await answered
            if not isinstance(answer, Exception):
                return answer
            if not isinstance(answer, NeedsTask):
                raise answer
        return await self._dispatcher.dispatch(CONTEXT, parameters)

    async def _replace_database(self) -> None:
        if self._database is not None:
            await self._database.close()
        clock = ManualClock()
        self._database = database = await Database.open("sqlite://", clock)
        database.secret = SECRET
        # Receives must not wait, because the clock stands still.
        database.waiters.close()
        cache = QueueCache(database, ACCESS_OFF)
        self._dispatcher = Dispatcher(
            Queues(database, cache, ACCESS_OFF, clock, cooldowns=False),
            Messages(database, cache, clock, in_flight_limit=120_000),
            MoveTasks(database, ACCESS_OFF, clock),
            Permissions(database, cache),
            direct=DirectActions(database, cache, clock, in_flight_limit=120_000),
        )
        for name in inputs.QUEUES:
            attributes_ = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            body = json.dumps({"QueueName": name, "Attributes": attributes_}).encode()
            await self._run_valid("CreateQueue", body)
        for number in range(5):
            body = json.dumps({"QueueUrl": "fuzz", "MessageBody": f"{number}"}).encode()
            await self._run_valid("SendMessage", body)

    async def _run_valid(self, action: str, body: bytes) -> None:
        _, parameters = codec_for(json_request(b"\n")).read(
            json_request(action.encode() + b"\n" + body)
        )
        await self._dispatcher.dispatch(CONTEXT, parameters)


# Texts that the rules parse


def parse_addresses(data: bytes) -> None:
    """Parse a text as URL, ARN, name and host of a queue, and as names of attributes."""
    text = data.decode(errors="replace")
    rejection_of(lambda: names.parse_queue_url(text))
    names.parse_arn(text)
    names.region_of_host(text)
    rejection_of(lambda: queue_parameters.check_queue_name(text, is_fifo=text.endswith(".fifo")))
    rejection_of(lambda: move_task_parameters.parse_move_task_arn("SourceArn", text))
    rejection_of(lambda: message_attributes.parse_system_attribute_names([text], None))
    rejection_of(lambda: message_attributes.parse_attribute_filter([text]))


def parse_receipt_handles(data: bytes) -> None:
    """Decode a receipt handle and verify a token; only issued ones may pass."""
    text = data.decode(errors="replace")
    is_valid = rejection_of(lambda: decode_receipt_handle(SIGNER, text)) is None
    assert not is_valid or text in {receipt_handle(number) for number in range(1, 6)}
    if not is_valid:
        assert TokenSigner(SECRET, "ListQueues").verify(text) is None


def parse_documents(data: bytes) -> None:
    """Parse a text as every kind of policy, and as the value of every attribute."""
    text = data.decode(errors="replace")
    rejection_of(
        lambda: permissions.add_permission(
            policy_documents.parse_policy(text), ARN, "label", ["000000000000"], ["SendMessage"]
        )
    )
    rejection_of(lambda: redrive_policies.parse_redrive_policy(text))
    rejection_of(lambda: redrive_policies.parse_redrive_allow_policy(text))
    for name in attributes.Attributes.__struct_encode_fields__:
        for creating in (True, False):
            rejection_of(partial(attributes.parse_requested, {name: text}, {}, creating=creating))


def verify_signatures(data: bytes) -> None:
    """Verify the signature of a request; none may be valid, as no input has the secret."""
    error = signature_rejection(request_of(data))
    if error is not None:
        for response in error_responses(error):
            assert_valid_response(response)


# Seed inputs


def _valid_value(type_: Type) -> object:
    match type_:
        case Structure(shape):
            return {
                member.wire_name: _VALID_PARAMETERS.get(member.wire_name, _valid_value(member.type))
                for member in members(shape)
            }
        case ListOf(item):
            return [_valid_value(item)]
        case MapOf(item):
            return {"a": _valid_value(item)}
        case Scalar("integer"):
            return 1
        case Scalar("boolean"):
            return True
    return "MQ=="


def _requests() -> Iterator[tuple[str, dict[str, object]]]:
    for name, action in ACTIONS.items():
        parameters = _valid_value(Structure(action.request))
        assert isinstance(parameters, dict)
        if "ReceiptHandle" in parameters:
            parameters["ReceiptHandle"] = receipt_handle(1)
        for entry in parameters.get("Entries", []):
            if "ReceiptHandle" in entry:
                entry["ReceiptHandle"] = receipt_handle(2)
        yield name, parameters
        yield name, {key: parameters[key] for key in parameters.keys() & _VALID_PARAMETERS.keys()}


def _json_seeds() -> list[bytes]:
    return [name.encode() + b"\n" + json.dumps(given).encode() for name, given in _requests()]


def _query_seeds() -> list[bytes]:
    return [b"\n" + inputs.as_form(name, given) for name, given in _requests()]


_TEXTS = [text.encode(errors="surrogatepass") for text in inputs.KNOWN_TEXTS]
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
    "json": (lambda: lambda data: parse(json_request(data)), _json_seeds),
    "query": (lambda: lambda data: parse(query_request(data)), _query_seeds),
    "json-operations": (lambda: ActionsTarget(json_request), _json_seeds),
    "query-operations": (lambda: ActionsTarget(query_request), _query_seeds),
    "addresses": (lambda: parse_addresses, lambda: _TEXTS),
    "handles": (
        lambda: parse_receipt_handles,
        lambda: [receipt_handle(n).encode() for n in range(1, 6)],
    ),
    "signatures": (lambda: verify_signatures, signature_seeds),
    "documents": (lambda: parse_documents, lambda: [*_TEXTS, _POLICY]),
    "policies": (lambda: policies.evaluate, lambda: list(policies.seed_documents())),
}
"""For each name, functions that make the target and its seed inputs."""


def dictionary_words() -> list[bytes]:
    """Return the words that requests consist of: names of SQS, and known texts."""
    found = {name.encode() for name in ACTIONS}
    for action in ACTIONS.values():
        found |= set(_names_of(Structure(action.request)))
    found |= policies.dictionary_texts()
    return sorted({*found, *_TEXTS, *(b'"%s":' % name for name in found)})


def _names_of(type_: Type) -> Iterator[bytes]:
    match type_:
        case Structure(shape):
            for member in members(shape):
                yield member.wire_name.encode()
                yield from _names_of(member.type)
        case ListOf(item) | MapOf(item):
            yield from _names_of(item)
