"""Servers with master keys in this process, on a clock that the test moves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from msgspec import structs

from queueserver.encryption.modes import EncryptionMode
from storage.encryption.keyring import Keyring, MasterKey
from tests.api.live_server import LiveServer, config
from tests.api.raw_http import ParsedError, call_action, parse_error
from tests.clock import ManualClock

VISIBILITY_SECONDS = 30
KEYS = {"first": b"1" * 32, "other": b"2" * 32}

Message: TypeAlias = dict[str, Any]
"""A received message, as JSON."""


def keyring(keys: Mapping[str, bytes]) -> Keyring:
    """Return the keyring of master keys by their names."""
    return Keyring([MasterKey(name, key) for name, key in keys.items()])


class EncryptingServer:
    """A running server, and the calls that tests make to it."""

    def __init__(
        self,
        url: str,
        clock: ManualClock,
        keys: Mapping[str, bytes] = KEYS,
        mode: EncryptionMode = EncryptionMode.ON,
    ) -> None:
        self._settings = structs.replace(config(url), encryption=mode, keyring=keyring(keys))
        self._server: LiveServer | None = LiveServer(self._settings, clock)
        self._reloads = 0
        self.url = self._server.url

    def close(self) -> None:
        """Stop the server, if it runs."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def reload(self, keys: Mapping[str, bytes]) -> None:
        """Use other master keys, as after a reload of the configuration."""
        assert self._server is not None
        self._reloads += 1
        self._server.reload(structs.replace(self._settings, keyring=keyring(keys)), self._reloads)

    def call(self, action: str, **parameters: object) -> dict[str, Any]:
        """Call an action that must succeed; return its result."""
        answer = call_action(self.url, "json", action, parameters)
        assert answer.status == 200, answer
        result: dict[str, Any] = json.loads(answer.body or b"{}")
        return result

    def error(self, action: str, protocol: str = "json", **parameters: object) -> ParsedError:
        """Call an action that must fail; return its error."""
        answer = call_action(self.url, protocol, action, parameters)
        assert answer.status >= 400, answer
        return parse_error(answer)

    def create(self, name: str, **attributes: str) -> None:
        """Create a queue."""
        given = {"VisibilityTimeout": str(VISIBILITY_SECONDS), **attributes}
        if name.endswith(".fifo"):
            given |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        self.call("CreateQueue", QueueName=name, Attributes=given)

    def send(self, queue: str, *bodies: str, **parameters: object) -> None:
        """Send messages to a queue, one after the other."""
        for body in bodies:
            self.call("SendMessage", QueueUrl=queue, MessageBody=body, **parameters)

    def receive(self, queue: str, **parameters: object) -> list[Message]:
        """Receive up to ten messages with their attributes."""
        received: list[Message] = self.call("ReceiveMessage", **_receive(queue, parameters)).get(
            "Messages", []
        )
        return received

    def receive_error(
        self, queue: str, protocol: str = "json", **parameters: object
    ) -> ParsedError:
        """Make a receive that must fail; return its error."""
        return self.error("ReceiveMessage", protocol, **_receive(queue, parameters))

    def delete(self, queue: str, *messages: Message) -> None:
        """Delete received messages."""
        for message in messages:
            self.call("DeleteMessage", QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    def count(self, queue: str) -> int:
        """Return the number of messages in a queue, in whatever state."""
        answer = self.call("GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])
        names = ("", "NotVisible", "Delayed")
        return sum(int(answer["Attributes"][f"ApproximateNumberOfMessages{n}"]) for n in names)


def _receive(queue: str, parameters: Mapping[str, object]) -> dict[str, object]:
    return {
        "QueueUrl": queue,
        "MaxNumberOfMessages": 10,
        "AttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
        **parameters,
    }


def end_visibility_timeouts(clock: ManualClock) -> None:
    """Advance the clock beyond the visibility timeout of all received messages."""
    clock.advance(VISIBILITY_SECONDS + 1)


def bodies(messages: list[Message]) -> list[str]:
    """Return the bodies of received messages."""
    return [message["Body"] for message in messages]


def receive_count(message: Message) -> str:
    """Return how often a message was received."""
    count: str = message["Attributes"]["ApproximateReceiveCount"]
    return count


Start: TypeAlias = Callable[..., EncryptingServer]
"""Start a server with the given keys, or with `KEYS`."""


@contextlib.contextmanager
def starting(url: str, clock: ManualClock) -> Iterator[Start]:
    """Yield a function that starts servers on a database; stop them at the end."""
    with contextlib.ExitStack() as stack:

        def start(keys: Mapping[str, bytes] = KEYS) -> EncryptingServer:
            return stack.enter_context(contextlib.closing(EncryptingServer(url, clock, keys)))

        yield start
