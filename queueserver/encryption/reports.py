"""The lines that the commands `rekey` and `check` print about keys."""

from __future__ import annotations

from collections.abc import Iterator

from storage.encryption import rekey
from storage.encryption.key_check import Report
from storage.encryption.keyring import KeyId, Keyring
from storage.encryption.master_key_usage import MasterKeyUsage
from storage.encryption.rekey import Rekeyed


def rekey_lines(done: Rekeyed, usage: MasterKeyUsage, keyring: Keyring) -> Iterator[str]:
    """Yield what a rekey has done, what it could not do, and which keys are needed now."""
    for key_id, count in done.wrapped.items():
        yield f"wrapped {_data_keys(count)} with the key {key_id}"
    if done.secret is not None:
        yield f"wrapped the secret with the key {done.secret}"
    if done.is_complete and not done.wrapped and done.secret is None:
        yield "nothing to do: the keys that wrap the data keys and the secret are current"
    for key_id, count in done.missing.items():
        yield f"cannot wrap {_data_keys(count)}: {_absence(key_id, keyring)}"
    if done.missing_for_secret is not None:
        yield f"cannot wrap the secret: {_absence(done.missing_for_secret, keyring)}"
    for number, key_id in done.damaged:
        yield f"cannot wrap data key {number}: it was changed, the key {key_id} cannot unwrap it"
    if done.secret_is_damaged:
        yield "cannot wrap the secret: it was changed, its key cannot unwrap it"
    for key_id in usage.data_keys:
        yield _need(key_id, usage)
    for key_id in rekey.unneeded(keyring, usage):
        yield _removal(key_id, keyring)


def check_lines(report: Report, keyring: Keyring | None) -> Iterator[str]:
    """Yield the damage that a check has found, and which keys the database needs."""
    yield from report.damage
    usage = report.usage
    if usage is not None:
        if report.clear_contents and (keyring is not None or usage.data_keys):
            yield _clear_messages(report.clear_contents)
        for key_id in usage.data_keys:
            yield _need(key_id, usage)
        if keyring is not None:
            for key_id in report.missing(keyring):
                yield _absence(key_id, keyring)
        if keyring is None and any(usage.data_keys.values()):
            yield "encrypted contents were not examined, because no key is configured"
    if report.advice is not None:
        yield report.advice


def is_sound(report: Report, keyring: Keyring | None) -> bool:
    """Return whether a check has found no damage, and no key that the keyring lacks."""
    return not report.damage and (keyring is None or not report.missing(keyring))


def verdict(report: Report, keyring: Keyring | None) -> str:
    """Return the result of a check in a few words."""
    if report.damage:
        return "damaged: put a backup in its place"
    if not is_sound(report, keyring):
        return "keys are missing: configure them"
    return "no damage found"


def _clear_messages(count: int) -> str:
    return "1 message is stored in clear" if count == 1 else f"{count} messages are stored in clear"


def _need(key_id: KeyId, usage: MasterKeyUsage) -> str:
    count = usage.data_keys[key_id]
    dependents = [_data_keys(count)] if count else []
    if usage.secret == key_id:
        dependents.append("the secret")
    return f"the database needs the key {key_id} for {' and '.join(dependents)}"


def _absence(key_id: KeyId, keyring: Keyring) -> str:
    other = keyring.named(key_id.name)
    if other is None:
        return f"the key {key_id} is not among the configured keys"
    fingerprint = other.id.fingerprint
    return f"the key {key_id} is missing, the configured one has the fingerprint {fingerprint}"


def _removal(key_id: KeyId, keyring: Keyring) -> str:
    line = f"the database does not need the key {key_id}: "
    current = keyring.named(key_id.name)
    if current is not None and current.id == key_id:
        line += "unless a queue names it as its KmsMasterKeyId, "
    return (
        f"{line}it can be removed once no server encrypts with it, and no backup that needs it is "
        "kept"
    )


def _data_keys(count: int) -> str:
    return f"{count} data {'key' if count == 1 else 'keys'}"
