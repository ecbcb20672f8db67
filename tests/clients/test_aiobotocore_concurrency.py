"""aiobotocore: concurrent producers and consumers on one queue."""

from __future__ import annotations

from tests.clients.scenarios import Play

SENT = 4_000


def test_concurrent_consumers_receive_and_delete_each_message_once(play: Play) -> None:
    assert play("aiobotocore_concurrency") == {
        "ids": SENT,
        "received": SENT,
        "deleted": SENT,
        "more than once": [],
        "left": ["0", "0", "0"],
    }
