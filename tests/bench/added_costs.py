"""Added costs: the CPU time that access control and TLS add to a send, in turns with a plain one.

All servers get requests with real signatures. They are signed before the measured time, because the
load would otherwise limit the servers.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.access.declared_users import key_pair
from tests.access.load_access import OFF, LoadAccess, access_on
from tests.bench import workloads
from tests.bench.client import ACCOUNT, Connection, Step, json_request
from tests.bench.processes import Server, started
from tests.bench.scenarios import BODY, Bench, Size, ask
from tests.bench.workloads import Measured, Workload
from tests.certificates import write_files
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

_OFF, _LOG, _ON, _HTTPS = "off", "log", "on", "https"


class Case(NamedTuple):
    """A send that costs more than a plain one.

    Attributes:
        server: which of the servers is measured.
        target_us: the most CPU time in microseconds to aim at, above that of a plain send.
    """

    name: str
    server: str
    workload: Workload
    target_us: float | None = None


class Cost(NamedTuple):
    """The result of one checkout in one case: the least CPU times."""

    name: str
    checkout: str
    cpu_us: float
    plain_us: float
    target_us: float | None


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
CASES = (
    Case("send, access on", _ON, _SEND, 45),
    Case("send, on, queue policy", _ON, _SEND_BY_POLICY, 45),
    Case("send, access log", _LOG, _SEND, 45),
    Case("send, HTTPS", _HTTPS, _SEND),
)
_PLAIN = Case("send", _OFF, _SEND)


async def measure(directory: Path, size: Size, checkouts: Mapping[str, Path]) -> list[Cost]:
    """Measure every case in every checkout that has access control."""
    able = {
        name: checkout
        for name, checkout in checkouts.items()
        if (checkout / "queueserver" / "access").is_dir()
    }
    messages = int(size.messages * _SHARE)
    rounds: defaultdict[tuple[str, str], list[Measured]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        servers = {}
        for number, (name, checkout) in enumerate(able.items()):
            place = directory / f"added-{number}"
            place.mkdir()
            servers[name] = stack.enter_context(_servers(place, checkout))
        for _ in range(size.rounds):
            for case in (_PLAIN, *CASES):
                for name in able:
                    bench = Bench(servers[name][case.server], size)
                    measured = await workloads.measure(bench, case.workload, messages)
                    rounds[case.name, name].append(measured)
    least = {key: min(each.cpu_us for each in found) for key, found in rounds.items()}
    return [
        Cost(case.name, name, least[case.name, name], least[_PLAIN.name, name], case.target_us)
        for case in CASES
        for name in able
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
    yield f"{'workload':<26}{'of':<26}{'us':>8}{'plain us':>10}{'added us':>10}  target"
    for row in costs:
        target = "" if row.target_us is None else f"CPU <= +{row.target_us:.0f} us"
        yield (
            f"{row.name:<26}{row.checkout[-24:]:<26}{row.cpu_us:>8.1f}{row.plain_us:>10.1f}"
            f"{row.cpu_us - row.plain_us:>+10.1f}  {target}"
        )
