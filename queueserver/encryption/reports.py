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
        yield "nothing to do: the keys that wrap the data keys and the secret are up to date"
    for key_id, count in done.missing.items():
        yield f"not done: {_data_keys(count)} need the key {key_id}, {_absence(key_id, keyring)}"
    if done.missing_for_secret is not None:
        key_id = done.missing_for_secret
        yield f"not done: the secret needs the key {key_id}, {_absence(key_id, keyring)}"
    for number, key_id in done.damaged:
        yield f"not done: data key {number} was changed, and the key {key_id} cannot unwrap it"
    if done.secret_is_damaged:
        yield "not done: the secret was changed, and its key cannot unwrap it"
    for key_id in usage.data_keys:
        yield f"the database needs the key {key_id}: {_dependents(usage, key_id)}"
    for key_id in rekey.unneeded(keyring, usage):
        yield _removal(key_id, keyring)


def check_lines(report: Report, keyring: Keyring | None) -> Iterator[str]:
    """Yield the damage that a check has found, and which keys the database needs."""
    yield from report.damage
    usage = report.usage
    if usage is not None:
        for key_id in usage.data_keys:
            is_missing = keyring is not None and keyring.find(key_id) is None
            absence = f", {_absence(key_id, keyring)}" if keyring and is_missing else ""
            yield f"the database needs the key {key_id}{absence}: {_dependents(usage, key_id)}"
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


def _absence(key_id: KeyId, keyring: Keyring) -> str:
    other = keyring.named(key_id.name)
    if other is None:
        return "which is not among the configured keys"
    return f"and the configured key of this name has the fingerprint {other.id.fingerprint}"


def _removal(key_id: KeyId, keyring: Keyring) -> str:
    line = f"the database does not need the key {key_id}: "
    current = keyring.named(key_id.name)
    if current is not None and current.id == key_id:
        line += "unless a queue names it as its KmsMasterKeyId, "
    return f"{line}it can be removed once no backup that needs it is kept"


def _dependents(usage: MasterKeyUsage, key_id: KeyId) -> str:
    count = usage.data_keys[key_id]
    if usage.secret != key_id:
        return _data_keys(count)
    return f"{_data_keys(count)} and the secret" if count else "the secret"


def _data_keys(count: int) -> str:
    return f"{count} data {'key' if count == 1 else 'keys'}"
