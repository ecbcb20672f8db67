"""The files of a TLS certificate: which ones the settings name, and how they are loaded."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from queueserver.config import Config
from queueserver.http.tls.validity import end_of_validity
from queueserver.start_errors import ConfigError, StartError

_PROTOCOL = "http/1.1"

_PRIVATE_KEY, _CERTIFICATE = "PRIVATE KEY-----", "CERTIFICATE-----"
"""The ends of the first lines in PEM. Other words may stand before them, such as EC or RSA."""

_REASONS = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "KEY_TYPE_MISMATCH": "the key is not that of the certificate",
    "EE_KEY_TOO_SMALL": "the key is too short",
    "CA_KEY_TOO_SMALL": "the key of an issuer is too short",
    "CA_MD_TOO_WEAK": "an issuer has signed with an algorithm that is too weak",
}
"""The fault of a pair of files, by OpenSSL's names of errors."""

Versions: TypeAlias = tuple[tuple[int, ...], ...]
"""For each file, numbers of which one changes if it is replaced or written."""


class Loaded(NamedTuple):
    """The contents of the files."""

    context: ssl.SSLContext
    expires_at: datetime
    versions: Versions


class TlsFiles(msgspec.Struct, frozen=True):
    """The paths of the certificate, its key, and the CA of clients' certificates.

    Without `key`, the file of the certificate has the key, too.
    """

    cert: str
    key: str | None
    client_ca: str | None

    def load(self) -> Loaded:
        """Read and check all files.

        Raises:
            StartError: a file cannot be read, or does not fit the others.
        """
        versions = self.versions()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols([_PROTOCOL])
        pem = _read("--tls-cert", self.cert)
        key_flag, key = ("--tls-cert", self.cert) if self.key is None else ("--tls-key", self.key)
        _check_contents(self.cert, pem, self.key, _read(key_flag, key))
        _check_mode(key_flag, key)
        try:
            context.load_cert_chain(self.cert, key, _no_password)
            expires_at = end_of_validity(pem)
        except _EncryptedKey:
            raise StartError(
                f"{key_flag}: the key in {key!r} is encrypted, and the server cannot ask for its "
                "password; decrypt it with `openssl pkey`"
            ) from None
        except ValueError as error:  # ssl.SSLError of an unreadable certificate is an OSError
            raise StartError(f"--tls-cert: cannot read {self.cert!r}: {error}") from None
        except OSError as error:
            raise StartError(
                f"--tls-cert, --tls-key: cannot use {self.cert!r} and {key!r}: {_reason(error)}"
            ) from None
        if self.client_ca is not None:
            self._require_client_certificates(context, self.client_ca)
        return Loaded(context, expires_at, versions)

    def versions(self) -> Versions:
        """Return the versions of the files; symbolic links are followed."""
        paths = (self.cert, self.key, self.client_ca)
        return tuple(_version(path) for path in paths if path is not None)

    def _require_client_certificates(self, context: ssl.SSLContext, path: str) -> None:
        _read("--tls-client-ca", path)
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise StartError(f"--tls-client-ca: cannot use {path!r}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED


def files_of(config: Config) -> TlsFiles | None:
    """Return the files that the settings name, or None without TLS.

    Raises:
        ConfigError: a setting needs another one, or contradicts it.
    """
    if config.tls_cert is None:
        given = {
            "--tls-key": config.tls_key is not None,
            "--tls-client-ca": config.tls_client_ca is not None,
            "--tls-port": bool(config.tls_port),
        }
        for flag, is_given in given.items():
            if is_given:
                raise ConfigError(f"{flag} needs --tls-cert, the file with the certificate")
        return None
    for port in config.tls_port:
        if port and port in config.port:
            raise ConfigError(
                f"--tls-port: {port} is in --port, too; a port speaks either HTTP or HTTPS"
            )
    return TlsFiles(config.tls_cert, config.tls_key, config.tls_client_ca)


class _EncryptedKey(Exception):
    """OpenSSL has asked for the password of a key."""


def _no_password() -> str:
    # Without this function, OpenSSL asks on the terminal, and the server waits for an answer.
    raise _EncryptedKey


def _read(flag: str, path: str) -> str:
    """Return the text of a file.

    Raises:
        StartError: the file cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path!r}: {error.strerror or error}") from None


def _check_contents(cert: str, cert_pem: str, key: str | None, key_pem: str) -> None:
    """Check that each file has what its flag names; OpenSSL's errors do not say which has not.

    Raises:
        StartError: a file is that of the other flag, or there is no key.
    """
    if _PRIVATE_KEY not in key_pem:
        if key is None:
            raise StartError(
                f"--tls-cert: {cert!r} contains no private key: name the file of the key with "
                "--tls-key"
            )
        if _CERTIFICATE in key_pem:
            raise StartError(f"--tls-key: {key!r} is a certificate, not a private key")
    if _CERTIFICATE not in cert_pem and _PRIVATE_KEY in cert_pem:
        raise StartError(f"--tls-cert: {cert!r} is a private key, not a certificate")


def _check_mode(flag: str, path: str) -> None:
    """Check that no other user can read the file of a key.

    Of a file of another owner, such as a secret that Kubernetes mounts, the group may be the only
    permission that the server has.

    Raises:
        StartError: others can read the file, or its status cannot be read.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise StartError(f"{flag}: cannot read {path!r}: {error.strerror or error}") from None
    is_own = status.st_uid == os.geteuid()
    excess = status.st_mode & (stat.S_IRWXO | (stat.S_IRWXG if is_own else 0))
    if stat.S_ISREG(status.st_mode) and excess:
        raise StartError(
            f"{flag}: the key in {path!r} is open to its group or to others "
            f"(mode {stat.S_IMODE(status.st_mode):04o}); change it with `chmod 600`"
        )


def _version(path: str) -> tuple[int, ...]:
    try:
        status = Path(path).stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _reason(error: OSError) -> str:
    """Describe an error of OpenSSL, which is an OSError, for an operator."""
    name = getattr(error, "reason", None) or ""
    if name in _REASONS:
        return _REASONS[name]
    if isinstance(error, ssl.SSLError):
        return (
            f"not in PEM format ({name.lower().replace('_', ' ')})" if name else "not in PEM format"
        )
    return error.strerror or str(error)
