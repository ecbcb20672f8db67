"""The scenario of all signers by presigned URLs of the Query protocol, fetched without an SDK."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'


class Links:
    """Presigned URLs of one key pair."""

    def __init__(self, endpoint: str, pair: list[str]) -> None:
        self._endpoint = endpoint
        credentials = Credentials(*pair)
        self._auth = SigV4QueryAuth(credentials, "sqs", "us-east-1", expires=600)

    def get(self, path: str, action: str, **parameters: str) -> dict[str, list[str]]:
        """Fetch the URL of an action; return the texts of the elements of its answer, by name."""
        query = urlencode({"Action": action, "Version": "2012-11-05", **parameters})
        request = AWSRequest("GET", f"{self._endpoint}{path}?{query}")
        self._auth.add_auth(request)
        with urllib.request.urlopen(request.url) as answer:
            return texts(answer.read())

    def rejection(self, path: str, action: str) -> str:
        try:
            self.get(path, action)
        except urllib.error.HTTPError as error:
            with error:
                return texts(error.read())["Code"][0]
        return "not rejected"


def texts(document: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for element in ElementTree.fromstring(document).iter():
        found.setdefault(re.sub(r"\{.*\}", "", element.tag), []).append(element.text or "")
    return found


def use_queue(links: Links, name: str) -> dict[str, Any]:
    attribute = {"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "45"}
    (url,) = links.get("/", "CreateQueue", QueueName=name, **attribute)["QueueUrl"]
    path = f"/000000000000/{name}"
    links.get(path, "SendMessage", MessageBody=BODY)
    entry = {"Id": "e0", "MessageBody": "batch 0"}
    batch = {f"SendMessageBatchRequestEntry.1.{name}": text for name, text in entry.items()}
    links.get(path, "SendMessageBatch", **batch)
    received = links.get(path, "ReceiveMessage", MaxNumberOfMessages="10")
    for handle in received["ReceiptHandle"]:
        links.get(path, "DeleteMessage", ReceiptHandle=handle)
    counts = links.get(path, "GetQueueAttributes", **{"AttributeName.1": "All"})
    attributes = dict(zip(counts["Name"], counts["Value"], strict=True))
    listed = links.get("/", "ListQueues", QueueNamePrefix=name)["QueueUrl"]
    links.get(path, "DeleteQueue")
    return {
        "arn": attributes["QueueArn"],
        "timeout": attributes["VisibilityTimeout"],
        "bodies": sorted(received["Body"]),
        "left": attributes["ApproximateNumberOfMessagesNotVisible"],
        "listed": listed == [url],
        "missing": links.rejection(path, "GetQueueAttributes"),
    }


def main(endpoint: str, given: str) -> None:
    case = json.loads(given)
    links = {user: Links(endpoint, pair) for user, pair in case["pairs"].items()}
    producer, orders = links["producer"], case["orders"].removeprefix(endpoint)
    facts = {
        "queue": use_queue(links["admin"], case["name"]),
        "sent": "MessageId" in producer.get(orders, "SendMessage", MessageBody=case["name"]),
        "denied": producer.rejection(orders, "ReceiveMessage"),
        "wrong secret": links["wrong secret"].rejection("/", "ListQueues"),
        "unknown key": links["unknown key"].rejection("/", "ListQueues"),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
