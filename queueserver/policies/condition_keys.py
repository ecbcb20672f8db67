"""Condition keys: the facts about a request that conditions and variables name.

A key that AWS defines but this server never has is absent, as AWS treats a key that is not part
of a request. A key that AWS does not define is rejected: a misspelled key would turn a Deny into
a statement without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError, quote
from queueserver.policies.letter_case import fold_ascii
from queueserver.policies.principals import PrincipalKind
from queueserver.policies.requests import Request

_ABSENT_NAMES = """
assumedroot calledviafirst calledvialast chatbotsourcearn ec2instancesourceprivateipv4
ec2instancesourcevpc federatedprovider multifactorauthage multifactorauthpresent principalorgid
resourceorgid sourceidentity sourceinstancearn sourceorgid sourceowner sourcevpc sourcevpcarn
sourcevpce tokenage tokenissuetime vpceaccount vpceorgid vpcsourceip
"""
_ABSENT_LIST_NAMES = """
calledvia principalorgpaths principalservicenameslist resourceorgpaths sourceorgpaths vpceorgpaths
"""
"""Global keys of AWS that no request here has: multi-factor sessions, VPCs, organizations, chains
of services, and instances. Those of the second list have several values."""

_SERVICE_NAMES = """
access-analyzer account acm acm-pca airflow apigateway app-integrations appconfig appflow
application-autoscaling appsync athena autoscaling backup batch bedrock cassandra cloud9
cloudformation cloudfront cloudtrail cloudwatch codeartifact codebuild codecommit codepipeline
codestar-connections codestar-notifications cognito-identity cognito-idp cognito-sync connect dax
dms ds dynamodb ebs ec2 ecr ecs eks elasticache elasticbeanstalk elasticfilesystem
elasticloadbalancing elasticmapreduce emr-containers es events execute-api firehose fis fsx
glacier glue greengrass guardduty iam identitystore imagebuilder iot kafka kafka-cluster kendra
kinesis kms lakeformation lambda license-manager logs mediaconvert memorydb mq network-firewall
organizations osis pipes quicksight ram rds rds-db redshift redshift-data resource-groups route53
rolesanywhere s3 s3-object-lambda s3-outposts s3express sagemaker saml scheduler secretsmanager
securityhub serverlessrepo servicecatalog servicequotas ses signer sns ssm ssmmessages sso states
storagegateway sts support swf tag timestream transfer verifiedpermissions vpc-lattice wafv2
workspaces xray
"""

MAXIMUM_TAGS = 100
"""Tags of a request that conditions look at. AWS: a queue has at most 50.

SQS rejects more, but only after the policies: each of hundreds of variables would search them."""

_SEVERAL_VALUES = ("", "")
"""The value of a key that cannot be evaluated."""

KeyValue: TypeAlias = str | tuple[str, ...] | None
"""The value of a key: one text, several texts, or None if the key is absent."""


class ConditionKey(msgspec.Struct, frozen=True):
    """A condition key.

    Attributes:
        read: returns the value of the key in a request.
        has_one_value: whether AWS defines the key with a single value, as variables need.
    """

    read: Callable[[Request], KeyValue]
    has_one_value: bool = True


def find_condition_key(name: str, kind: PolicyKind) -> ConditionKey:
    """Return the condition key of a name, whose letter case does not matter.

    Raises:
        PolicyError: no such key exists.
    """
    folded = fold_ascii(name)
    prefix, colon, rest = folded.partition(":")
    if prefix == "aws":
        return _find_global_key(name, rest, kind)
    # The keys of web identity are named after the issuer, such as accounts.google.com:aud.
    if colon and rest and (prefix in _SERVICES or "." in prefix):
        return _ABSENT
    raise PolicyError(f"{quote(name)} is not a condition key")


def _find_global_key(name: str, rest: str, kind: PolicyKind) -> ConditionKey:
    family, slash, tag = rest.partition("/")
    if slash and tag and family in _TAG_FAMILIES:
        # AWS: aws:ResourceTag is not part of the context of a queue's policy.
        if family == "resourcetag" and kind is PolicyKind.QUEUE:
            return _ABSENT
        return ConditionKey(_TagReader(_TAG_FAMILIES[family], tag))
    key = _GLOBAL_KEYS.get(rest)
    if key is None:
        raise PolicyError(f"{quote(name)} is not a condition key")
    return key


class _TagReader:
    """Reads the value of one tag. The letter case of the tag's key does not matter."""

    def __init__(self, tags: Callable[[Request], Mapping[str, str] | None], tag: str) -> None:
        self._tags = tags
        self._tag = tag

    def __call__(self, request: Request) -> KeyValue:
        tags = self._tags(request) or {}
        if len(tags) > MAXIMUM_TAGS:
            return _SEVERAL_VALUES
        # The key of a request may have megabytes: its length is compared first.
        values = tuple(
            value
            for key, value in tags.items()
            if len(key) == len(self._tag) and fold_ascii(key) == self._tag
        )
        if not values:
            return None
        return values[0] if len(values) == 1 else values


def _absent(request: Request) -> None:
    """Return None: the key is not part of any request."""


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _user_only(request: Request, value: str) -> str | None:
    return value if request.principal.kind is PrincipalKind.USER and value else None


def _service_only(request: Request, value: str | None) -> str | None:
    """Return the value for a service: other callers could claim to act for any resource."""
    return value if request.principal.kind is PrincipalKind.SERVICE else None


def _tag_keys(request: Request) -> KeyValue:
    return tuple(request.facts.tag_keys or ()) or None


def _current_time(request: Request) -> str:
    return datetime.fromtimestamp(int(request.facts.now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_ABSENT = ConditionKey(_absent)
_ABSENT_LIST = ConditionKey(_absent, has_one_value=False)

_TAG_FAMILIES: dict[str, Callable[[Request], Mapping[str, str] | None]] = {
    "principaltag": lambda request: request.principal.tags,
    "resourcetag": lambda request: request.resource_tags,
    "requesttag": lambda request: request.facts.request_tags,
}

_GLOBAL_KEYS = {
    "currenttime": ConditionKey(_current_time),
    "epochtime": ConditionKey(lambda request: str(int(request.facts.now))),
    "principalaccount": ConditionKey(lambda request: request.principal.account),
    "principalarn": ConditionKey(lambda request: _user_only(request, request.principal.arn)),
    "principalisawsservice": ConditionKey(
        lambda request: _boolean(request.principal.kind is PrincipalKind.SERVICE)
    ),
    "principalservicename": ConditionKey(
        lambda request: _service_only(request, request.principal.service)
    ),
    "principaltype": ConditionKey(lambda request: str(request.principal.kind.value)),
    "referer": ConditionKey(lambda request: request.facts.referer or None),
    "requestedregion": ConditionKey(lambda request: request.facts.region),
    "resourceaccount": ConditionKey(lambda request: request.resource_account),
    "securetransport": ConditionKey(lambda request: _boolean(request.facts.is_secure)),
    "sourceaccount": ConditionKey(
        lambda request: _service_only(request, request.facts.source_account)
    ),
    "sourcearn": ConditionKey(lambda request: _service_only(request, request.facts.source_arn)),
    "sourceip": ConditionKey(lambda request: request.facts.source_ip),
    "tagkeys": ConditionKey(_tag_keys, has_one_value=False),
    "useragent": ConditionKey(lambda request: request.facts.user_agent or None),
    "userid": ConditionKey(lambda request: request.principal.unique_id),
    "username": ConditionKey(lambda request: _user_only(request, request.principal.name)),
    "viaawsservice": ConditionKey(lambda request: "false"),
    **dict.fromkeys(_ABSENT_NAMES.split(), _ABSENT),
    **dict.fromkeys(_ABSENT_LIST_NAMES.split(), _ABSENT_LIST),
}

_SERVICES = frozenset(_SERVICE_NAMES.split())
"""Prefixes of services that have condition keys of their own; SQS has none.

A statement that names actions of another service may use its keys. They are absent here.
"""
