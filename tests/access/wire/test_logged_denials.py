"""Logs of rejected requests: no secret, no signature, no line that a client writes."""

from __future__ import annotations

import logging
import re

import pytest

from queueserver.logs import JsonLines, TextLines
from tests.access.declared_users import KeyPair
from tests.access.wire.drafts import SCOPE, draft
from tests.access.wire.http_requests import HttpRequest, as_sent, get
from tests.access.wire.rejected_requests import ROWS
from tests.access.wire.wire_server import ADMIN, PRODUCER, USERS, WireServer

ID = ADMIN.key_pairs[0].access_key_id
LONGEST_LINE = 1_000
"""Characters of the longest line about a rejected request."""

_CONTROL_CHARACTERS = re.compile(r"[^\x20-\x7e]")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.DEBUG)
    return Lines(caplog)


class Lines:
    """The log lines about rejected requests."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def of(self, server: WireServer, request: HttpRequest) -> list[str]:
        """Send a request that must be rejected, and return all lines about it, as they are written.

        They are checked: each is one printable line of bounded length, without a traceback.
        """
        self._caplog.clear()
        before = server.message_count("victim")
        self._caplog.clear()
        answer = server.answer(request)
        assert 400 <= answer.status < 500, answer
        found = []
        for record in list(self._caplog.records):
            assert record.exc_info is None
            line = TextLines().format(record)
            assert not _CONTROL_CHARACTERS.search(line), line
            assert len(line) <= LONGEST_LINE
            assert "\n" not in JsonLines().format(record)
            found.append(line)
        assert server.message_count("victim") == before
        self.body = answer.body.decode()
        return found


def send(server: WireServer, protocol: str = "json", queue: str = "victim") -> HttpRequest:
    return server.post(protocol, "SendMessage", QueueUrl=queue, MessageBody="x")


def secrets() -> list[str]:
    return [pair.secret for user in USERS for pair in user.key_pairs]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_one_line_explains_each_rejected_request(
    server: WireServer, protocol: str, lines: Lines, row: object
) -> None:
    request = row.make(server, protocol)  # type: ignore[attr-defined]
    found = [line for line in lines.of(server, request) if "access denied" in line]
    if row.code == "AWS.SimpleQueueService.NonExistentQueue":  # type: ignore[attr-defined]
        assert len(found) <= 1
        return
    (line,) = found
    assert f"answering {row.code} (" in line  # type: ignore[attr-defined]
    assert "client=127.0.0.1" in line
    assert re.search(r"request_id=[0-9a-f]{8}-", line)


FORGED = "arn:aws:iam::000000000000:user/admin"
CREDENTIAL = f"AWS4-HMAC-SHA256 Credential=AKNOBODY/{SCOPE}, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        pytest.param(CREDENTIAL, "AKNOBODY", id="unknown key"),
        pytest.param(CREDENTIAL.replace("AKNOBODY", ID), ID, id="key of a user"),
        pytest.param(CREDENTIAL.replace("AKNOBODY", f"A user={FORGED}"), "none", id="space"),
        pytest.param(CREDENTIAL.replace("AKNOBODY", "K" * 1_000), "K" * 200 + "...", id="long"),
        pytest.param(CREDENTIAL.replace("AKNOBODY", "A\udcff"), "A?", id="not ASCII"),
        pytest.param(CREDENTIAL.replace("AKNOBODY", "a1" * 32), "...", id="signature as key"),
        pytest.param("Basic eDp5", "none", id="another scheme"),
    ],
)
@pytest.mark.parametrize(
    ("target", "action"),
    [
        pytest.param("AmazonSQS.SendMessageBatch", "sqs:SendMessageBatch", id="action"),
        pytest.param("AmazonSQS.Nothing user=admin", "unknown", id="no action of SQS"),
    ],
)
def test_line_of_failed_authentication_names_the_access_key_and_the_action(
    server: WireServer, lines: Lines, authorization: str, key: str, target: str, action: str
) -> None:
    headers = (
        ("Host", server.host),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", target),
        ("Authorization", authorization),
    )
    (line,) = lines.of(server, HttpRequest("POST", "/", headers, b"{}"))
    assert f" access_key_id={key} action={action} client=127.0.0.1 reason=" in line
    assert "user=" not in line.partition(" reason=")[0]


def test_line_of_a_presigned_url_names_its_access_key(server: WireServer, lines: Lines) -> None:
    url = server.signer()._replace(expires="60").sign(get(server.host, Action="ListQueues"))
    (line,) = lines.of(server, url._replace(target=f"{url.target}&x=1"))
    assert f" access_key_id={ID} action=unknown client=127.0.0.1 reason=" in line


def test_no_secret_and_no_signature_is_logged_or_echoed(
    server: WireServer, protocol: str, lines: Lines
) -> None:
    signed = server.signer().sign(send(server, protocol))
    signature = signed.get("Authorization")[-64:]
    url = server.signer()._replace(expires="60").sign(get(server.host, Action="ListQueues"))
    url_signature = url.target[-64:]
    token = "TheSessionToken"
    for request in (
        signed._replace(body=b"{}"),
        signed.edited(", Signature=", ", Signature"),
        signed.edited("Signature=", "signature="),
        signed.edited(", SignedHeaders=", ", Signed"),
        signed.edited("AWS4-HMAC-SHA256", "AWS5"),
        signed.edited("AWS4-HMAC-SHA256 ", ""),
        signed.edited(ID, f"{signature}"),
        signed.edited("/sqs/", f"/{signature}/"),
        signed.edited("/sqs/", f"/sqs/{signature}/"),
        signed.adding(("Authorization", signature)),
        server.signer()._replace(token=token).sign(send(server, protocol)),
        server.signer(PRODUCER).sign(send(server, protocol)),
        url._replace(method="POST"),
        url._replace(target=f"{url.target}&x=1"),
        url._replace(target=url.target.replace("X-Amz-Algorithm", "x")),
        url._replace(target=f"{url.target}&X-Amz-Signature={url_signature}"),
        send(server, protocol).adding(("Authorization", f"Bearer {token}")),
        send(server, protocol).adding(("Authorization", f"Basic {token}")),
        send(server, protocol).adding(("Authorization", f"AWS {ID}:{token}")),
    ):
        text = "\n".join([*lines.of(server, request), lines.body])
        for hidden in (*secrets(), signature, url_signature, token):
            assert hidden not in text


def test_signed_authorization_and_token_are_not_echoed(server: WireServer, lines: Lines) -> None:
    # The canonical request has the values of signed headers.
    token = "TheSessionToken" * 3
    headers = (
        ("Authorization", "x"),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Security-Token", token),
        ("X-Amz-Target", "AmazonSQS.ListQueues"),
    )
    signed = "authorization;content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
    one = draft(server, headers=headers[1:], signed=signed, secret=b"wrong")
    request = as_sent(one.in_header())
    signature = request.get("Authorization")[-64:]
    text = "\n".join([*lines.of(server, request), lines.body])
    assert "SignatureDoesNotMatch" in text
    assert signature not in text
    assert token not in text
    signer = server.signer()._replace(expires="60", token=token)
    url = signer.sign(get(server.host, Action="ListQueues"))
    text = "\n".join([*lines.of(server, url._replace(target=f"{url.target}&x=1")), lines.body])
    assert "X-Amz-Security-Token=..." in text
    assert token not in text


KEY_IDS = [
    pytest.param("A\x1b[2J\x1b[31mB", id="escape sequence"),
    pytest.param("A\x0bB\x0c", id="other white space"),
    pytest.param("A\u2028B\u0085", id="line separators"),
    pytest.param("A%0d%0aB", id="escaped line break"),
    pytest.param("A\udcff\udcfe", id="not UTF-8"),
    pytest.param("A" * 10_000, id="10 kB"),
    pytest.param("A user=arn:aws:iam::000000000000:user/admin", id="space and a field"),
]


@pytest.mark.parametrize("key_id", KEY_IDS)
def test_key_id_writes_no_line_of_its_own(
    server: WireServer, protocol: str, lines: Lines, key_id: str
) -> None:
    scope = f"{key_id}/{SCOPE}"
    value = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0"
    date = ("X-Amz-Date", "20960102T030405Z")
    found = lines.of(server, send(server, protocol).adding(date, ("Authorization", value)))
    assert len([line for line in found if "access denied" in line or "not valid HTTP" in line]) == 1


@pytest.mark.parametrize(
    "text", ["\r\nx", "\n\x1b[2J", "\u2028", "\x00", "\udcff", "x" * 10_000, " user=admin "]
)
def test_values_in_a_url_write_no_line_of_their_own(
    server: WireServer, lines: Lines, text: str
) -> None:
    for name in ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"):
        signer = server.signer()._replace(expires="600")
        url = signer.sign(get(server.host, Action="ListQueues"))
        encoded = "".join(f"%{byte:02x}" for byte in text.encode(errors="surrogateescape"))
        target = url.target.replace(f"{name}=", f"{name}={encoded}")
        lines.of(server, url._replace(target=target))
        credential = f"{text}/{SCOPE}"
        encoded = "".join(f"%{byte:02x}" for byte in credential.encode(errors="surrogateescape"))
        target = re.sub("X-Amz-Credential=[^&]*", f"X-Amz-Credential={encoded}", url.target)
        lines.of(server, url._replace(target=target))


@pytest.mark.parametrize(
    "queue", ["x user=admin", "x\r\ny", "\x1b[2J", "x" * 1_000, "\u00e9", "\ud800", "../victim/x y"]
)
def test_queue_name_writes_no_line_of_its_own(
    server: WireServer, protocol: str, lines: Lines, queue: str
) -> None:
    request = server.post(protocol, "GetQueueUrl", QueueName=queue)
    for sent in (request, server.signer(PRODUCER).sign(request)):
        for line in lines.of(server, sent):
            assert "user=admin" not in line
    request = send(server, protocol, queue)
    for sent in (request, server.signer(PRODUCER).sign(request)):
        for line in lines.of(server, sent):
            assert "user=admin" not in line


@pytest.mark.parametrize("name", ["User-Agent", "Referer", "X-Forwarded-For", "X-Amzn-Trace-Id"])
@pytest.mark.parametrize("value", ["\x1b[2J", "\udcff\u00e9", "x" * 10_000, "a user=admin"])
def test_other_headers_are_not_logged(
    server: WireServer, protocol: str, lines: Lines, name: str, value: str
) -> None:
    request = send(server, protocol)
    for sent in (request, server.signer(PRODUCER).sign(request)):
        for line in lines.of(server, sent.adding((name, value))):
            assert "user=admin" not in line
            assert "xxxxx" not in line


def test_denial_names_the_key_that_signed(server: WireServer, lines: Lines) -> None:
    # A parameter that looks like a credential is not one.
    other = f"AKOTHER/{SCOPE}"
    request = get(server.host, Action="ListQueues", ACredential=other)
    url = server.signer(PRODUCER)._replace(expires="60").sign(request)
    (line,) = lines.of(server, url)
    assert f"user/producer access_key_id={PRODUCER.key_pairs[0].access_key_id} " in line
    (line,) = lines.of(server, request)
    assert "user=anonymous access_key_id=none " in line


def test_hosts_of_a_failed_comparison_are_logged(server: WireServer, lines: Lines) -> None:
    pair = KeyPair(ID, "wrong")
    request = server.signer()._replace(pair=pair).sign(send(server))
    (line,) = lines.of(server, request)
    assert f"signature of access key {ID} does not match" in line
    assert f"(hosts tried: {server.host})" in line
