"""Random identifiers."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from queueserver.identifiers import as_text, new_identifier


def test_identifier_is_a_random_uuid() -> None:
    for _ in range(1_000):
        identifier = new_identifier()
        uuid = UUID(bytes=identifier)
        assert (uuid.version, uuid.variant) == (4, RFC_4122)
        assert as_text(identifier) == str(uuid)


def test_no_identifier_is_generated_twice() -> None:
    assert len({new_identifier() for _ in range(10_000)}) == 10_000
