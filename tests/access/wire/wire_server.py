"""A server with access on, and everything that a test of its endpoint asks it over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.access.access_server import AccessServer
from tests.access.declared_users import KeyPair, User, admin, key_pair
from tests.access.wire.http_requests import SIGNED_AT, HttpRequest, Signer, form_post, json_post
from tests.api.raw_http import Answer, ParsedError, open_socket, parse_error, read_until_closed

ACCOUNT = "000000000000"
ADMIN = admin()
EXPIRED = KeyPair("AKEXPIRED", "E" * 40, datetime(2096, 1, 2, 3, 4, 5, tzinfo=UTC))
PRODUCER = User("producer", ["send:orders"], keys=[key_pair("producer"), EXPIRED])
STRANGER = User("stranger", ["AmazonSQSFullAccess"], {"account": "111122223333"})
SERVICE = User("topics", (), {"service": "sns.amazonaws.com", "account": "111122223333"})
USERS = (ADMIN, PRODUCER, STRANGER, SERVICE)
QUEUES = ("orders", "victim", "public")
PUBLIC_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "*"}],
}


class SettableTime:
    """The time by which a server checks signatures, in seconds since the epoch."""

    def __init__(self) -> None:
        self.seconds = self.signing_time = seconds(SIGNED_AT)

    def __call__(self) -> float:
        return self.seconds


class WireServer(NamedTuple):
    """A server with three queues, `QUEUES`, of which all may use the last one."""

    running: AccessServer
    now: SettableTime

    @property
    def host(self) -> str:
        return urlsplit(self.running.url).netloc

    def signer(self, user: User = ADMIN) -> Signer:
        """Return the signer for the first key pair of a user."""
        return Signer(user.key_pairs[0])

    def _signer_now(self, user: User = ADMIN) -> Signer:
        return self.signer(user)._replace(time=basic_format(self.now.seconds))

    def json(self, action: str, **parameters: object) -> HttpRequest:
        return json_post(self.host, action, **parameters)

    def form(self, action: str, path: str = "/", **parameters: object) -> HttpRequest:
        return form_post(self.host, action, **parameters)._replace(target=path)

    def post(self, protocol: str, action: str, **parameters: object) -> HttpRequest:
        """Return a request of a protocol, `json` or `query`."""
        make = json_post if protocol == "json" else form_post
        return make(self.host, action, **parameters)

    def exchange(self, *contents: bytes | HttpRequest) -> list[Answer]:
        """Send requests on one connection, all at once, and return their answers."""
        with open_socket(self.running.url, b"".join(map(bytes, contents))) as client:
            client.shutdown(1)
            return answers(read_until_closed(client))

    def answer(self, request: bytes | HttpRequest) -> Answer:
        """Send one request and return its answer."""
        (answer,) = self.exchange(request)
        return answer

    def call(self, action: str, user: User = ADMIN, **parameters: object) -> dict[str, Any]:
        """Call an action that must succeed, and return its result."""
        answer = self.answer(self._signer_now(user).sign(self.json(action, **parameters)))
        assert answer.status == 200, answer
        result: dict[str, Any] = json.loads(answer.body or "{}")
        return result

    def purge(self, queue: str) -> None:
        """Delete the messages of a queue, and load it into the cache: see `load`."""
        self.call("PurgeQueue", QueueUrl=queue)
        self.load(queue)

    def set_policy(self, queue: str, policy: object) -> None:
        """Set the policy of a queue, or remove it if `policy` is None, and load the queue."""
        text = "" if policy is None else json.dumps(policy)
        self.call("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": text})
        self.load(queue)

    def load(self, queue: str) -> None:
        """Load a queue into the cache: only then are small requests answered without a task."""
        self.call("ReceiveMessage", QueueUrl=queue)

    def state(self) -> object:
        """Return what an attack could change: the queues, their attributes and their messages."""
        calls = [self.json("ListQueues")]
        calls += [
            self.json("GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])
            for queue in QUEUES
        ]
        found = self.exchange(*map(self._signer_now().sign, calls))
        assert [answer.status for answer in found] == [200] * len(calls), found
        return [answer.body for answer in found]

    def message_count(self, queue: str) -> int:
        attributes = self.call("GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    def rejection(self, request: bytes | HttpRequest) -> ParsedError:
        """Send a request that must be rejected without any effect, and return the error."""
        before = self.state()
        answer = self.answer(request)
        assert 400 <= answer.status < 500, answer
        assert self.state() == before
        return parse_error(answer)


def answers(content: bytes) -> list[Answer]:
    """Return the answers in everything that a server has sent on a connection."""
    found = []
    while content:
        head, _, rest = content.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = headers_of(lines)
        length = int(headers.get("content-length", "0"))
        found.append(Answer(int(status.split()[1]), headers, rest[:length]))
        content = rest[length:]
    return found


def read_answer(client: socket.socket) -> Answer:
    """Read one answer from a connection that stays open."""
    content = b""
    while b"\r\n\r\n" not in content or len(answers(content)[0].body) < _length(content):
        received = client.recv(65_536)
        assert received, content
        content += received
    (answer,) = answers(content)
    return answer


def _length(content: bytes) -> int:
    return int(answers(content)[0].headers["content-length"])


def headers_of(lines: list[str]) -> Mapping[str, str]:
    pairs = (line.split(":", 1) for line in lines)
    return {name.lower(): value.strip() for name, value in pairs}


def seconds(time: str) -> float:
    """Return a time in ISO 8601's basic format in seconds since the epoch."""
    return datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def basic_format(epoch_seconds: float) -> str:
    """Return a time in ISO 8601's basic format."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
