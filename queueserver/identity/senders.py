"""The sender of a request: its account and region, and its user if a signature proves one."""

from __future__ import annotations

import msgspec

from queueserver.access.users import User


class Sender(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request. The fields are those of `RequestContext`."""

    account: str
    region: str
    access_key_id: str = ""
    user: User | None = None
    obeys_policies: bool = True
    referer: str = ""
    source_arn: str | None = None
    source_account: str | None = None
