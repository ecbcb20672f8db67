"""Added costs: the CPU time that access control, TLS and encryption add, in turns with plain calls.

All servers get sends with real signatures. They are signed before the measured time, because the
load would otherwise limit the servers.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tests.access.declared_users import key_pair
from tests.access.load_access import OFF, LoadAccess, access_on
from tests.bench import workloads
from tests.bench.client import ACCOUNT, Connection, Step, json_request
from tests.bench.processes import Server, started
from tests.bench.scenarios import BODY, Bench, Size, ask
from tests.bench.workloads import Workload
from tests.certificates import write_files
from tests.encryption.load_encryption import encryption_on
from tests.request_signer import RequestSigner

_SHARE = 0.5
"""Messages of a round, as a share of the size's."""

_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:*"
_STATEMENTS = (
    {
        "Sid": "producers",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/load"},
        "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"],
        "Resource": _ARN,
    },
    {
        "Sid": "network",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": _ARN,
        "Condition": {"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "10.0.0.0/8"]}},
    },
    {
        "Sid": "topic",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": _ARN,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:sns:us-east-1:{ACCOUNT}:*"}},
    },
)
QUEUE_POLICY = json.dumps({"Version": "2012-10-17", "Statement": _STATEMENTS})
"""A policy of three statements: one allows the load, one has a condition that is compared."""

_OFF, _LOG, _ON, _HTTPS, _ENCRYPTED = "off", "log", "on", "https", "encrypted"


Measurement: TypeAlias = tuple[str, Workload]
"""Which of the servers is measured, and by which calls."""


class Case(NamedTuple):
    """A call that costs more than a plain one.

    Attributes:
        server: which of the servers is measured.
        plain: the call that it is compared with, to the server without anything added.
        target_us: the most CPU time in microseconds to aim at, above that of a plain call.
        target_share: the same, as a share of the plain call's.
    """

    name: str
    server: str
    workload: Workload
    plain: Workload
    target_us: float | None = None
    target_share: float | None = None

    @property
    def target(self) -> str:
        """The text of the target."""
        if self.target_us is not None:
            return f"CPU <= +{self.target_us:.0f} us"
        return "" if self.target_share is None else f"CPU <= +{self.target_share:.0%}"


class Cost(NamedTuple):
    """The result of one checkout in one case: the least CPU times."""

    name: str
    checkout: str
    cpu_us: float
    plain_us: float
    target: str


async def _signed_sends(policy: str | None, bench: Bench, messages: int) -> Step:
    """Return a step that sends one of the requests that are signed here."""
    url = await (bench.queue(Policy=policy) if policy else bench.queue())
    request = json_request("SendMessage", QueueUrl=url, MessageBody=BODY)
    signer = RequestSigner(*key_pair("load")[:2])
    signed = [signer.sign(request.unsigned()) for _ in range(messages)]

    async def step(connection: Connection, _: int) -> int:
        await ask(connection, signed.pop())
        return 1

    return step


_SEND = Workload("send", partial(_signed_sends, None))
_SEND_BY_POLICY = Workload("send", partial(_signed_sends, QUEUE_POLICY))
_RECEIVE = workloads.RECEIVE
_SEND_IN_TENS, _RECEIVE_IN_TENS = workloads.SEND_IN_TENS, workloads.RECEIVE_IN_TENS
_MOST_FOR_ENCRYPTION = 0.06
CASES = (
    Case("send, access on", _ON, _SEND, _SEND, 45),
    Case("send, on, queue policy", _ON, _SEND_BY_POLICY, _SEND, 45),
    Case("send, access log", _LOG, _SEND, _SEND, 45),
    Case("send, HTTPS", _HTTPS, _SEND, _SEND),
    Case("send, encrypted", _ENCRYPTED, _SEND, _SEND, target_share=_MOST_FOR_ENCRYPTION),
    Case("receive, encrypted", _ENCRYPTED, _RECEIVE, _RECEIVE, target_share=_MOST_FOR_ENCRYPTION),
    Case("send in tens, encrypted", _ENCRYPTED, _SEND_IN_TENS, _SEND_IN_TENS),
    Case("receive in tens, encrypted", _ENCRYPTED, _RECEIVE_IN_TENS, _RECEIVE_IN_TENS),
)


async def measure(directory: Path, size: Size, checkouts: Mapping[str, Path]) -> list[Cost]:
    """Measure every case in every checkout that has access control."""
    able = {
        name: checkout
        for name, checkout in checkouts.items()
        if (checkout / "queueserver" / "access").is_dir()
    }
    messages = int(size.messages * _SHARE)
    rounds: defaultdict[tuple[str, Measurement], list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        servers = {}
        for number, (name, checkout) in enumerate(able.items()):
            place = directory / f"added-{number}"
            place.mkdir()
            servers[name] = stack.enter_context(_servers(place, checkout))
        plain = [(_OFF, case.plain) for case in CASES]
        measurements = dict.fromkeys([*plain, *((case.server, case.workload) for case in CASES)])
        for _ in range(size.rounds):
            for server, workload in measurements:
                for name in able:
                    if server in servers[name]:
                        bench = Bench(servers[name][server], size)
                        measured = await workloads.measure(bench, workload, messages)
                        rounds[name, (server, workload)].append(measured.cpu_us)
    least = {key: min(found) for key, found in rounds.items()}
    return [
        Cost(
            case.name,
            name,
            least[name, (case.server, case.workload)],
            least[name, (_OFF, case.plain)],
            case.target,
        )
        for case in CASES
        for name in able
        if (name, (case.server, case.workload)) in least
    ]


@contextlib.contextmanager
def _servers(directory: Path, checkout: Path) -> Iterator[Mapping[str, Server]]:
    """Start the servers of one checkout, each on a SQLite file of its own."""
    access = access_on(directory)
    files = write_files(directory / "tls")
    arguments: dict[str, tuple[LoadAccess, Sequence[str]]] = {
        _OFF: (OFF, ()),
        _LOG: (access, ("--access", "log")),
        _ON: (access, ()),
        _HTTPS: (OFF, files.flags),
    }
    if (checkout / "storage" / "encryption").is_dir():
        arguments[_ENCRYPTED] = (OFF, encryption_on(directory).arguments)
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, (used, given) in arguments.items():
            database = f"sqlite:///{directory / name}.db"
            flags = ("--port", "0", "--database", database, "--log-level", "warning")
            running = started("queueserver", *flags, *used.arguments, *given, checkout=checkout)
            server = stack.enter_context(running)
            servers[name] = server._replace(url=used.url(server.url))
        yield servers


def table(costs: Iterable[Cost]) -> Iterable[str]:
    """Return the lines of a table."""
    yield (
        f"{'workload':<28}{'of':<26}{'us':>8}{'plain us':>10}{'added us':>10}{'added':>8}  target"
    )
    for row in costs:
        added_us = row.cpu_us - row.plain_us
        yield (
            f"{row.name:<28}{row.checkout[-24:]:<26}{row.cpu_us:>8.1f}{row.plain_us:>10.1f}"
            f"{added_us:>+10.1f}{added_us / row.plain_us:>+8.1%}  {row.target}"
        )
