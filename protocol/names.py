"""Queue URLs and ARNs: how a queue is named to the outside, and found by such a name.

Refuses to know which queues exist, or what a new queue may be called.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from protocol.errors import QueueDoesNotExist

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = r"([a-z]{2}(?:-[a-z]+)+-[0-9])"
_REGIONAL_HOST = re.compile(rf"(?:sqs(?:-fips)?\.{_REGION}|{_REGION}\.queue)\.")
_ARN = re.compile(r"arn:([^:\s]+):([^:\s]+):([^:\s]*):([^:\s]*):(\S+)")


def parse_queue_url(text: str) -> tuple[str | None, str]:
    """Split a queue URL into account and name, as SQS does: only the last two segments matter.

    Accepts any host, the path alone, and a bare queue name. The account is None when the segment
    before the name is no account (ElasticMQ's `/queue/name`) or is not there: the caller's own is
    meant. Raises `QueueDoesNotExist` when no queue can bear such a name, so that what is returned
    is safe to look up.
    """
    path = text.partition("://")[2].partition("/")[2] if "://" in text else text
    path = path.partition("?")[0].partition("#")[0]
    segments = [segment for segment in path.rsplit("/", 3) if segment]
    name = unquote(segments[-1]) if segments else ""
    if _QUEUE_NAME.fullmatch(name) is None:
        raise QueueDoesNotExist
    account = segments[-2] if len(segments) > 1 else ""
    return (account if _ACCOUNT.fullmatch(account) else None), name


def region_of_host(host: str) -> str | None:
    """Find the region that a host's name tells, or None: `sqs.eu-west-1.anything` and its kin.

    AWS's own hosts do, those of its older clients (`eu-west-1.queue.anything`), and LocalStack's.
    """
    match = _REGIONAL_HOST.match(host)
    return (match[1] or match[2]) if match else None


def queue_url(base_url: str, account: str, name: str) -> str:
    """Name a queue by URL; `base_url` is scheme and host, with or without a final slash."""
    return f"{base_url.rstrip('/')}/{account}/{name}"


class Arn(msgspec.Struct, frozen=True):
    """An Amazon Resource Name; for SQS, `resource` is the queue's name."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        parts = (self.partition, self.service, self.region, self.account, self.resource)
        return ":".join(("arn", *parts))


def queue_arn(region: str, account: str, name: str) -> str:
    """Name a queue by ARN, in the partition that its region belongs to."""
    return str(Arn(_partition(region), "sqs", region, account, name))


def parse_arn(text: str) -> Arn | None:
    """Split an ARN, or return None when it does not have an ARN's six parts."""
    match = _ARN.fullmatch(text)
    return Arn(*match.groups()) if match else None


def _partition(region: str) -> str:
    """Name the partition of AWS that has the region: China and GovCloud have their own."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
