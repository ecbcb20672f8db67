"""Principals: callers, and the elements Principal and NotPrincipal, which name them."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence

import msgspec

from queueserver.policies.errors import PolicyError, quote

ANONYMOUS_ACCOUNT = "anonymous"
"""AWS: aws:PrincipalAccount of a caller without credentials."""

_ACCOUNT = re.compile(r"[0-9]{12}")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9.-]+")
# AWS: a path is of printable ASCII. No wildcards: AWS rejects them in the ARN of a principal.
_PATH = r"(?:[!-)+-.0->@-~]+/)*"
_NAME = r"[A-Za-z0-9_+=,.@-]+"
_IAM_ARN = re.compile(
    r"arn:aws(?:-[a-z]+)*:"
    rf"(?:iam::(?P<account>[0-9]{{12}}):(?P<name>root|(?:user|role)/{_PATH}{_NAME})"
    rf"|sts::[0-9]{{12}}:(?:assumed-role/{_NAME}/{_NAME}|federated-user/{_NAME}))"
)


class PrincipalKind(enum.Enum):
    """The kind of a caller; the value is AWS's aws:PrincipalType."""

    USER = "User"
    SERVICE = "Service"
    ANONYMOUS = "Anonymous"


class Principal(msgspec.Struct, frozen=True):
    """A caller, as policies see it.

    Attributes:
        account: 12 digits, or `anonymous`.
        arn: such as `arn:aws:iam::000000000000:user/alice`, or empty.
        unique_id: the value of aws:userid.
        service: such as `sns.amazonaws.com` for a caller of the kind SERVICE, else empty.
        is_admin: whether the user may do everything in the account that no policy denies.
        tags: the values of aws:PrincipalTag.
    """

    kind: PrincipalKind
    account: str
    arn: str = ""
    name: str = ""
    unique_id: str = ""
    service: str = ""
    is_admin: bool = False
    tags: Mapping[str, str] = {}


ANONYMOUS = Principal(PrincipalKind.ANONYMOUS, ANONYMOUS_ACCOUNT, unique_id=ANONYMOUS_ACCOUNT)
"""The caller of a request without credentials."""


# The elements Principal and NotPrincipal


class PrincipalMatch(enum.Enum):
    """Whether an element lists a principal, and whether by its account."""

    NONE = enum.auto()
    ACCOUNT = enum.auto()
    """Through its account. In the account of the queue, such an Allow gives users nothing: the
    account decides by its users' policies."""
    ITSELF = enum.auto()


class PrincipalElement(msgspec.Struct, frozen=True):
    """The principals that an element lists.

    Attributes:
        is_any: whether the element lists `*`.
        accounts: accounts that are listed as a whole.
        arns: ARNs of users and roles without their partition, which the account implies.
        services: services such as `sns.amazonaws.com`.
        is_negated: whether the element is NotPrincipal.
        is_denial: whether the statement is a Deny.
    """

    is_any: bool
    accounts: frozenset[str]
    arns: frozenset[str]
    services: frozenset[str]
    is_negated: bool
    is_denial: bool

    def match(self, principal: Principal) -> PrincipalMatch:
        """Return how the statement concerns a principal."""
        if not self.is_negated:
            return self._listed(principal)
        if self.is_denial:
            is_excepted = self._is_exempt(principal)
        else:
            is_excepted = self._listed(principal) is not PrincipalMatch.NONE
        return PrincipalMatch.NONE if is_excepted else PrincipalMatch.ITSELF

    def _listed(self, principal: Principal) -> PrincipalMatch:
        if self.is_any:
            return PrincipalMatch.ITSELF
        match principal.kind:
            case PrincipalKind.SERVICE if principal.service in self.services:
                return PrincipalMatch.ITSELF
            case PrincipalKind.USER if _without_partition(principal.arn) in self.arns:
                return PrincipalMatch.ITSELF
            case PrincipalKind.USER if principal.account in self.accounts:
                return PrincipalMatch.ACCOUNT
        return PrincipalMatch.NONE

    def _is_exempt(self, principal: Principal) -> bool:
        """Return whether a Deny with NotPrincipal leaves a principal out.

        AWS: the Deny concerns the account of a user too, so both must be listed.
        """
        match principal.kind:
            case PrincipalKind.SERVICE:
                return principal.service in self.services
            case PrincipalKind.USER if principal.account in self.accounts:
                return principal.is_admin or _without_partition(principal.arn) in self.arns
        return False


def compile_principals(
    element: str | Mapping[str, Sequence[str]], *, is_negated: bool, is_denial: bool
) -> PrincipalElement:
    """Compile an element: `*`, or lists of principals by kind.

    Raises:
        PolicyError: a principal is not one of the forms of AWS.
    """
    named = {"AWS": ["*"]} if isinstance(element, str) else element
    accounts: set[str] = set()
    arns: set[str] = set()
    for text in named.get("AWS", ()):
        if text == "*":
            continue
        found = _IAM_ARN.fullmatch(text)
        if _ACCOUNT.fullmatch(text):
            accounts.add(text)
        elif not found:
            raise PolicyError(f"{quote(text)} is not a principal")
        elif found["name"] == "root":
            accounts.add(found["account"])
        else:
            arns.add(_without_partition(text))
    services = frozenset(named.get("Service", ()))
    for service in services:
        if not _SERVICE_NAME.fullmatch(service):
            raise PolicyError(f"{quote(service)} is not a service")
    is_any = "*" in named.get("AWS", ())
    if is_any and is_negated:
        raise PolicyError("NotPrincipal: * leaves no principal")
    return PrincipalElement(
        is_any, frozenset(accounts), frozenset(arns), services, is_negated, is_denial
    )


def _without_partition(arn: str) -> str:
    """Return the ARN of a principal from the service on: `iam::000000000000:user/alice`."""
    return arn.partition(":")[2].partition(":")[2]
