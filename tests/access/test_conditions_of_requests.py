"""Conditions: where the server takes the values of condition keys from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest
from botocore.awsrequest import AWSRequest

from tests.access.access_server import AccessServer, StartAccessServer
from tests.access.calls import OWNER, document, statement, user_with
from tests.access.declared_users import User, admin
from tests.api.sqs_clients import Sqs, rejection

ADMIN = admin()
DENIED = (403, "AccessDenied")


def sends(sqs: Sqs, queue: str = "q") -> bool:
    """Send some messages, and return whether the server allows it.

    The server answers the first request of a client with a task, and later ones without.
    """
    outcomes = {_sends_one(sqs, queue) for _ in range(3)}
    (allowed,) = outcomes
    return allowed


def _sends_one(sqs: Sqs, queue: str) -> bool:
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    except sqs.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return False
        raise
    return True


def create(server: AccessServer, *statements: dict[str, object], name: str = "q") -> None:
    """Create a queue, and put it into the server's cache."""
    attributes = {"Policy": document(*statements)} if statements else {}
    server.client(ADMIN).create_queue(QueueName=name, Attributes=attributes)
    server.client(ADMIN).receive_message(QueueUrl=name)


@contextlib.contextmanager
def headers(sqs: Sqs, added: Mapping[str, str], *, are_signed: bool = True) -> Iterator[None]:
    """Add headers to the requests of a client, before or after it signs them."""

    def add(request: AWSRequest, **_: object) -> None:
        for name, value in added.items():
            request.headers[name] = value

    event = "before-sign.sqs" if are_signed else "before-send.sqs"
    sqs.meta.events.register(event, add)
    try:
        yield
    finally:
        sqs.meta.events.unregister(event, add)


# Addresses and TLS


FROM_OFFICE = {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}
OVER_TLS = {"Bool": {"aws:SecureTransport": "true"}}
FORWARDED = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("condition", [FROM_OFFICE, OVER_TLS], ids=["address", "TLS"])
@pytest.mark.parametrize(
    ("proxies", "added", "allowed"),
    [
        pytest.param(["127.0.0.0/8"], FORWARDED, True, id="trusted proxy"),
        pytest.param(["127.0.0.0/8"], {}, False, id="trusted proxy without headers"),
        pytest.param(["10.0.0.0/8"], FORWARDED, False, id="other peer"),
        pytest.param([], FORWARDED, False, id="no proxies"),
        pytest.param(
            ["127.0.0.0/8"],
            {
                "X-Forwarded-For": "198.51.100.7, 203.0.113.9",
                "X-Forwarded-Proto": "https, http",
            },
            False,
            id="headers of a client of the proxy",
        ),
    ],
)
def test_headers_of_a_trusted_proxy_alone_say_where_a_request_came_from(
    condition: dict[str, object],
    proxies: list[str],
    added: dict[str, str],
    allowed: bool,
    start: StartAccessServer,
) -> None:
    guest = user_with("guest", statement("Allow", "sqs:*", Condition=condition))
    server = start(ADMIN, guest, trusted_proxies=proxies)
    create(server, statement("Allow", "sqs:*", "*", Condition=condition))
    for sqs in (server.client(guest), server.client(guest, "query"), server.anonymous()):
        with headers(sqs, added):
            assert sends(sqs) is allowed


def test_requests_of_one_connection_have_addresses_of_their_own(start: StartAccessServer) -> None:
    guest = user_with("guest", statement("Allow", "sqs:*", Condition=FROM_OFFICE))
    server = start(ADMIN, guest, trusted_proxies=["127.0.0.1"])
    create(server)
    sqs = server.client(guest)
    for address, allowed in (("198.51.100.7", True), ("203.0.113.9", False)) * 2:
        with headers(sqs, {"X-Forwarded-For": address}):
            assert sends(sqs) is allowed


# Services


TOPIC = f"arn:aws:sns:us-east-1:{OWNER}:topic"
FOR_TOPIC = {"ArnEquals": {"aws:SourceArn": TOPIC}}
FOR_ACCOUNT = {"StringEquals": {"aws:SourceAccount": OWNER}}
TOPICS = User("topics", settings={"service": "sns.amazonaws.com"})
EVENTS = User("events", settings={"service": "events.amazonaws.com"})
SOURCES = {"X-Amz-Source-Arn": TOPIC, "X-Amz-Source-Account": OWNER}


@pytest.mark.parametrize("condition", [FOR_TOPIC, FOR_ACCOUNT], ids=["ARN", "account"])
@pytest.mark.parametrize("principal", ["*", {"Service": "sns.amazonaws.com"}], ids=["all", "SNS"])
def test_only_signed_headers_of_a_service_name_the_source_of_a_request(
    principal: object, condition: dict[str, object], start: StartAccessServer
) -> None:
    newcomer = User("newcomer")
    server = start(ADMIN, TOPICS, EVENTS, newcomer)
    create(server, statement("Allow", "sqs:SendMessage", principal, Condition=condition))
    topics = server.client(TOPICS)
    assert not sends(topics)
    with headers(topics, SOURCES):
        assert sends(topics)
    with headers(topics, SOURCES, are_signed=False):
        assert not sends(topics)
    with headers(topics, {"X-Amz-Source-Arn": f"{TOPIC}2", "X-Amz-Source-Account": "1" * 12}):
        assert not sends(topics)
    for sqs in (server.client(newcomer), server.client(newcomer, "query"), server.anonymous()):
        with headers(sqs, SOURCES):
            assert not sends(sqs)
    with headers(server.client(EVENTS), SOURCES):
        assert sends(server.client(EVENTS)) is (principal == "*")


# Tags


TEAM_IS_BLUE = {"StringEquals": {"aws:ResourceTag/team": "blue"}}


def test_tags_of_the_queue_count_in_policies_of_users_alone(start: StartAccessServer) -> None:
    blue = user_with("blue", statement("Allow", "sqs:*", Condition=TEAM_IS_BLUE))
    newcomer = User("newcomer")
    server = start(ADMIN, blue, newcomer)
    keeper = server.client(ADMIN)
    create(server, statement("Allow", "sqs:*", "*", Condition=TEAM_IS_BLUE))
    for tags, allowed in (({"team": "red"}, False), ({"team": "blue"}, True)):
        keeper.tag_queue(QueueUrl="q", Tags=tags)
        assert sends(server.client(blue)) is allowed
        assert not sends(server.client(newcomer))
    missing = rejection(server.client(blue).send_message, QueueUrl="none", MessageBody="x")
    assert missing[:2] == DENIED


def test_user_cannot_tag_a_queue_to_get_rights_on_it(start: StartAccessServer) -> None:
    blue = user_with("blue", statement("Allow", "sqs:*", Condition=TEAM_IS_BLUE))
    server = start(ADMIN, blue)
    create(server)
    sqs = server.client(blue)
    tags = {"team": "blue"}
    assert rejection(sqs.tag_queue, QueueUrl="q", Tags=tags)[:2] == DENIED
    for name in ("q", "new"):
        assert rejection(sqs.create_queue, QueueName=name, tags=tags)[:2] == DENIED


TAGS_OF_REQUEST = {
    "StringEquals": {"aws:RequestTag/team": "blue"},
    "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]},
}


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_tags_of_the_request_count_in_tag_queue_and_create_queue(
    protocol: str, start: StartAccessServer
) -> None:
    tagger = user_with("tagger", statement("Allow", "sqs:*", Condition=TAGS_OF_REQUEST))
    server = start(ADMIN, tagger)
    create(server)
    sqs = server.client(tagger, protocol)
    for name, tags in enumerate(({"team": "blue"}, {"team": "blue", "cost": "1"})):
        sqs.tag_queue(QueueUrl="q", Tags=tags)
        sqs.create_queue(QueueName=f"new{name}", tags=tags)
    for tags in ({"team": "red"}, {"cost": "1"}, {"team": "blue", "admin": "1"}):
        assert rejection(sqs.tag_queue, QueueUrl="q", Tags=tags)[:2] == DENIED
        assert rejection(sqs.create_queue, QueueName="new", tags=tags)[:2] == DENIED
    assert rejection(sqs.create_queue, QueueName="new")[:2] == DENIED


def test_keys_of_removed_tags_count_in_untag_queue(start: StartAccessServer) -> None:
    only_cost = {"ForAllValues:StringEquals": {"aws:TagKeys": ["cost"]}}
    tagger = user_with("tagger", statement("Allow", "sqs:UntagQueue", Condition=only_cost))
    server = start(ADMIN, tagger)
    create(server)
    sqs = server.client(tagger)
    sqs.untag_queue(QueueUrl="q", TagKeys=["cost"])
    assert rejection(sqs.untag_queue, QueueUrl="q", TagKeys=["cost", "team"])[:2] == DENIED


# Regions and variables


def test_requested_region_is_that_of_the_signature(start: StartAccessServer) -> None:
    in_europe = {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}
    guest = user_with("guest", statement("Allow", "sqs:*", Condition=in_europe))
    server = start(ADMIN, guest)
    for region, allowed in (("eu-west-1", True), ("us-east-1", False)):
        server.client(ADMIN, region=region).create_queue(QueueName="q")
        assert sends(server.client(guest, region=region)) is allowed


def test_variables_are_those_of_the_user_who_calls(start: StartAccessServer) -> None:
    resource = "arn:aws:sqs:*:*:q-${aws:username}"
    alice, bob = (user_with(name, statement("Allow", "sqs:*", Resource=resource)) for name in "ab")
    tagged = user_with(
        "c",
        statement("Allow", "sqs:*", Resource="arn:aws:sqs:*:*:q-${aws:PrincipalTag/queue}"),
        tags={"queue": "*"},
    )
    server = start(ADMIN, alice, bob, tagged)
    for name in ("q-a", "q-b"):
        create(server, name=name)
    for user, name, allowed in (
        (alice, "q-a", True),
        (bob, "q-a", False),
        (alice, "q-b", False),
        (bob, "q-b", True),
        (tagged, "q-a", False),
    ):
        assert sends(server.client(user), name) is allowed
