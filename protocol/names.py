"""Queue URLs and ARNs: building and parsing them."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from protocol.errors import QueueDoesNotExist

_LONGEST_URL = 2_048
"""Our own limit of a queue URL in characters: a receive keeps the URL while it waits."""

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_LONGEST_ESCAPED_NAME = 3 * 80
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = r"([a-z]{2}(?:-[a-z]+)+-[0-9])"
_LONGEST_REGION = 63
_REGIONAL_HOST = re.compile(rf"(?:sqs(?:-fips)?\.{_REGION}|{_REGION}\.queue)\.")
_ARN = re.compile(r"arn:([^:\s]+):([^:\s]+):([^:\s]*):([^:\s]*):(\S+)")


def parse_queue_url(text: str) -> tuple[str | None, str]:
    """Return account and name of a queue URL; as on AWS, only its last two segments matter.

    The host may be any; a path alone and a bare queue name are accepted too. The account is None,
    meaning the caller's, if the URL has no account (ElasticMQ's `/queue/name`, a bare name).

    Raises:
        QueueDoesNotExist: no queue can have this name.
    """
    if len(text) > _LONGEST_URL:
        raise QueueDoesNotExist
    path = text.partition("://")[2].partition("/")[2] if "://" in text else text
    path = path.partition("?")[0].partition("#")[0]
    segments = [segment for segment in path.rsplit("/", 3) if segment]
    escaped_name = segments[-1] if segments else ""
    # Trap: `unquote` takes seconds for a megabyte of escapes.
    name = unquote(escaped_name) if len(escaped_name) <= _LONGEST_ESCAPED_NAME else ""
    if _QUEUE_NAME.fullmatch(name) is None:
        raise QueueDoesNotExist
    account = segments[-2] if len(segments) > 1 else ""
    return (account if _ACCOUNT.fullmatch(account) else None), name


def region_of_host(host: str) -> str | None:
    """Return the region in a host name, or None.

    Recognised are `sqs.REGION.`, `sqs-fips.REGION.` (AWS, LocalStack) and `REGION.queue.` (older
    AWS clients), whatever follows. A region has at most 63 characters, as a part of a host name.
    """
    match = _REGIONAL_HOST.match(host)
    region = (match[1] or match[2]) if match else None
    return region if region and len(region) <= _LONGEST_REGION else None


def queue_url(base_url: str, account: str, name: str) -> str:
    """Return a queue URL; `base_url` is scheme and host, with or without a final slash."""
    return f"{base_url.rstrip('/')}/{account}/{name}"


class Arn(msgspec.Struct, frozen=True):
    """An Amazon Resource Name. The `resource` of an SQS queue is its name."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        parts = (self.partition, self.service, self.region, self.account, self.resource)
        return ":".join(("arn", *parts))


def queue_arn(region: str, account: str, name: str) -> str:
    """Return the ARN of a queue, in the partition of its region."""
    return str(Arn(_partition(region), "sqs", region, account, name))


def parse_arn(text: str) -> Arn | None:
    """Parse an ARN; return None if the text does not have the six parts of one."""
    match = _ARN.fullmatch(text)
    return Arn(*match.groups()) if match else None


def _partition(region: str) -> str:
    """Return the AWS partition of a region: China and GovCloud have their own."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
