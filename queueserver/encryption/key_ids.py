"""KMS key ids: the forms of KmsMasterKeyId, and KMS's errors for those that do not exist.

A name of the keyring stands for a key of KMS, as its id and as its alias.
"""

from __future__ import annotations

import re

_ALIAS = "alias/"
_ARN = re.compile(r"arn:[\w-]+:kms:[^:]*:[^:]*:(?:key/|(?=alias/))(.+)", re.DOTALL)
_MANAGED_KEY = "alias/aws/sqs"
_ID_OF_KMS = re.compile(r"(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def key_name(key_id: str) -> str | None:
    """Return the name in the keyring that a KmsMasterKeyId means, or None for the first key.

    AWS: it is a key id, an alias, or the ARN of either. `alias/aws/sqs` is the key that AWS manages
    for SQS: here, the first one.
    """
    arn = _ARN.fullmatch(key_id)
    name = arn[1] if arn else key_id
    return None if name == _MANAGED_KEY else name.removeprefix(_ALIAS)


def not_found_text(key_id: str, region: str, account: str) -> str:
    """Return KMS's error text for a KmsMasterKeyId that means no key.

    AWS: KMS has one text for aliases, one for what looks like an id of a key, and one for the rest.
    """
    prefix = f"arn:aws:kms:{region}:{account}:"
    if key_id.startswith(_ALIAS):
        return f"Alias {prefix}{key_id} is not found."
    if _ID_OF_KMS.fullmatch(key_id):
        return f"Key '{prefix}key/{key_id}' does not exist"
    if _ARN.fullmatch(key_id):
        is_alias = f":{_ALIAS}" in key_id
        return f"Alias {key_id} is not found." if is_alias else f"Key '{key_id}' does not exist"
    return f"Invalid keyId '{key_id}'"


def missing_key_text(name: str, queue_arn: str) -> str:
    """Return KMS's error text for a master key that a message of a queue needs."""
    region, account = queue_arn.split(":")[3:5]
    return f"Key 'arn:aws:kms:{region}:{account}:key/{name}' does not exist"
