"""Drafts of requests for the test servers, by a signer that does what no SDK would do."""

from __future__ import annotations

from tests.access.wire.http_requests import SIGNED_AT
from tests.access.wire.wire_server import ADMIN, WireServer
from tests.signatures.drafts import Draft

PAIR = ADMIN.key_pairs[0]
SCOPE = f"{SIGNED_AT[:8]}/us-east-1/sqs/aws4_request"
JSON_HEADERS = (
    ("Content-Type", "application/x-amz-json-1.0"),
    ("X-Amz-Target", "AmazonSQS.PurgeQueue"),
)


def draft(server: WireServer, **fields: object) -> Draft:
    """Return a draft of a request of the administrator to purge a queue, with other fields."""
    defaults = Draft(
        host=server.host,
        headers=JSON_HEADERS,
        body=b'{"QueueUrl":"victim"}',
        time=SIGNED_AT,
        credential=f"{PAIR.access_key_id}/{SCOPE}",
        secret=PAIR.secret.encode(),
    )
    return defaults._replace(**fields)  # type: ignore[arg-type]  # of many types


def url_draft(server: WireServer, **fields: object) -> Draft:
    """Return a draft of a presigned URL that sends a message, with other fields."""
    given = {
        "method": "GET",
        "path": "/000000000000/victim",
        "query": "Action=SendMessage&MessageBody=x",
        "headers": (),
        "body": b"",
    }
    return draft(server, **{**given, **fields})
