"""The files of the server's certificate: what stops the start, and reloads while it runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from msgspec import structs

from queueserver.clock import SystemClock
from queueserver.config import Config
from queueserver.http.tls import certificates
from queueserver.http.tls.certificates import Certificates
from queueserver.http.tls.validity import end_of_validity
from queueserver.start_errors import ConfigError, StartError
from tests.api.live_server import AlarmCountingClock, LiveServer, config, starting_servers
from tests.api.raw_http import exchange, open_socket, request_bytes
from tests.api.server_process import ServerProcess, failed_start
from tests.certificates import NAMES, Files, TlsSocket, authority, usual_client, write_files
from tests.waiting import wait_until

LIST = request_bytes("ListQueues")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_files(tmp_path / "tls")


@pytest.fixture
def server(sqlite: str, files: Files) -> Iterator[LiveServer]:
    with starting_servers(sqlite, AlarmCountingClock(), **files.settings) as start:
        yield start()


def settings(files: Files, **changes: object) -> Config:
    return structs.replace(config("sqlite://"), **{**files.settings, **changes})


def load(configured: Config) -> Certificates:
    loaded = Certificates.of(configured, SystemClock())
    assert loaded is not None
    return loaded


def serial_number(url: str) -> str:
    """Return the serial number of the certificate that a new connection gets."""
    with open_socket(url.replace("https", "http"), b"") as tcp:
        client = TlsSocket(tcp, usual_client(), "localhost")
        return client.serial_number


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# The start


def break_nothing(_: Files) -> None:
    pass


def swap_key(files: Files) -> None:
    issued = authority().issue_cert(*NAMES)
    files.key.write_bytes(issued.private_key_pem.bytes())


def encrypt_key(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


WRONG_FILES = [
    pytest.param(
        swap_key, "--tls-cert, --tls-key: cannot use .*: the key is not that of", id="key mismatch"
    ),
    pytest.param(encrypt_key, "--tls-key: the key in '.*' is encrypted", id="encrypted key"),
    pytest.param(
        lambda files: files.key.unlink(), "--tls-key: cannot read '.*': No such file", id="no key"
    ),
    pytest.param(
        lambda files: files.cert.unlink(), "--tls-cert: cannot read '.*': No such", id="no cert"
    ),
    pytest.param(
        lambda files: make_directory(files.cert),
        "--tls-cert: cannot read .*: Is a directory",
        id="directory for the certificate",
    ),
    pytest.param(
        lambda files: make_directory(files.key),
        "--tls-key: cannot read .*: Is a directory",
        id="directory for the key",
    ),
    pytest.param(
        lambda files: files.key.chmod(0o640),
        "--tls-key: the key .* open .*0640.*chmod 600",
        id="group can read the key",
    ),
    pytest.param(
        lambda files: files.key.chmod(0o604),
        "--tls-key: the key .* open .*0604.*chmod 600",
        id="others can read the key",
    ),
    pytest.param(
        lambda files: files.cert.write_text("x"),
        "--tls-cert, --tls-key: cannot use .*not in PEM",
        id="certificate is no PEM",
    ),
    pytest.param(
        lambda files: files.key.write_bytes(files.cert.read_bytes()),
        "--tls-key: '.*/tls.key' is a certificate, not a private key$",
        id="certificate in place of the key",
    ),
    pytest.param(
        lambda files: files.cert.write_bytes(files.key.read_bytes()),
        "--tls-cert: '.*/tls.crt' is a private key, not a certificate$",
        id="key in place of the certificate",
    ),
    pytest.param(
        lambda files: files.key.write_text(""),
        "--tls-cert, --tls-key: cannot use .*not in PEM",
        id="empty key",
    ),
]


@pytest.mark.parametrize(("break_files", "message"), WRONG_FILES)
def test_file_that_cannot_be_used_stops_the_start(
    files: Files, break_files: object, message: str
) -> None:
    assert callable(break_files)
    break_files(files)
    with pytest.raises(StartError, match=f"^{message}") as caught:
        load(settings(files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "x", None])
def test_client_ca_that_cannot_be_used_stops_the_start(files: Files, content: str | None) -> None:
    if content is None:
        files.ca.unlink()
    else:
        files.ca.write_text(content)
    with pytest.raises(StartError, match=r"^--tls-client-ca: cannot (use|read) "):
        load(settings(files, tls_client_ca=str(files.ca)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tls_cert": None}, "--tls-key needs --tls-cert"),
        ({"tls_cert": None, "tls_key": None, "tls_client_ca": "a"}, "--tls-client-ca needs --tls-"),
        ({"tls_cert": None, "tls_key": None, "tls_port": (1,)}, "--tls-port needs --tls-cert"),
        ({"port": (80, 81), "tls_port": (443, 81)}, "--tls-port: 81 is in --port, too"),
    ],
)
def test_settings_that_contradict_each_other_stop_the_start(
    files: Files, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        load(settings(files, **changes))


@pytest.mark.parametrize("flag", ["--tls-key", "--tls-cert"])
def test_failed_start_prints_one_line(tmp_path: Path, flag: str) -> None:
    line = failed_start("--database", "sqlite://", flag, "missing.pem", directory=tmp_path)
    assert line.startswith(f"queueserver: error: {flag}")


def test_key_can_be_in_the_file_of_the_certificate(files: Files) -> None:
    files.cert.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    with pytest.raises(StartError, match=r"^--tls-cert: the key in .*chmod 600"):
        load(settings(files, tls_key=None))
    files.cert.chmod(0o600)
    load(settings(files, tls_key=None))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_certificate_without_a_key_says_how_to_name_the_key(files: Files, mode: int) -> None:
    files.cert.chmod(mode)
    text = r"^--tls-cert: '.*/tls.crt' contains no private key: name the file of the key with --tl"
    with pytest.raises(StartError, match=text):
        load(settings(files, tls_key=None))


def test_files_whose_flags_are_swapped_stop_the_start(files: Files) -> None:
    swapped = settings(files, tls_cert=str(files.key), tls_key=str(files.cert))
    with pytest.raises(StartError, match=r"^--tls-key: '.*/tls.crt' is a certificate, not a priv"):
        load(swapped)


def test_group_may_read_a_key_of_another_owner(files: Files) -> None:
    os.chown(files.key, 12_345, os.getegid())
    files.key.chmod(0o640)
    load(settings(files))
    files.key.chmod(0o644)
    with pytest.raises(StartError, match=r"^--tls-key: the key .*0644"):
        load(settings(files))


# The end of the validity


@pytest.mark.parametrize(
    ("days", "level", "text"),
    [
        (-2, logging.WARNING, "the TLS certificate has expired, clients reject it; replace it"),
        (13, logging.WARNING, "the TLS certificate expires soon, replace it"),
        (15, logging.INFO, "loaded the TLS certificate"),
    ],
)
def test_start_logs_when_the_certificate_expires(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, level: int, text: str
) -> None:
    caplog.set_level(logging.INFO)
    expires = datetime.now(UTC) + timedelta(days=days)
    load(settings(write_files(tmp_path / "tls", expires)))
    last = caplog.records[-1]
    assert (last.levelno, last.getMessage().startswith(text)) == (level, True), last
    assert f"expire{'d' if days < 0 else 's'}={expires:%Y-%m-%d}" in last.getMessage()


@pytest.mark.parametrize("year", [1999, 2030, 2049, 2050, 2999])
def test_end_of_validity_is_read_from_the_certificate(year: int) -> None:
    expires = datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC)
    issued = authority().issue_cert(
        "a", not_before=datetime(1990, 1, 1, tzinfo=UTC), not_after=expires
    )
    assert end_of_validity(issued.cert_chain_pems[0].bytes().decode()) == expires


def test_certificate_that_is_cut_off_is_an_error() -> None:
    pem = authority().issue_cert("a").cert_chain_pems[0].bytes().decode()
    der = ssl.PEM_cert_to_DER_cert(pem)
    for count in range(100):
        with pytest.raises(ValueError, match=r"."):
            end_of_validity(ssl.DER_cert_to_PEM_cert(der[:count]))
    with pytest.raises(ValueError, match="no certificate"):
        end_of_validity("")


# Reloads


def test_reload_changes_the_certificate_of_new_connections_only(
    server: LiveServer, files: Files
) -> None:
    before = serial_number(server.url)
    with open_socket(server.url, LIST) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        write_files(files.cert.parent)
        server.reload_certificate()
        assert serial_number(server.url) != before
        client.sendall(LIST)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("break_files", [swap_key, encrypt_key, lambda files: files.cert.unlink()])
def test_reload_of_wrong_files_keeps_the_certificate_and_logs_one_line(
    server: LiveServer, files: Files, break_files: object, caplog: pytest.LogCaptureFixture
) -> None:
    before = serial_number(server.url)
    assert callable(break_files)
    break_files(files)
    server.reload_certificate()
    assert serial_number(server.url) == before
    assert exchange(server.url, "GET", "/health").status == 200
    (line,) = lines(caplog, logging.ERROR)
    assert line.startswith("cannot load the TLS certificate again, new connections get the one ")


def test_sighup_loads_the_certificate_again(tmp_path: Path, files: Files) -> None:
    with ServerProcess("--database", "sqlite://", *files.flags, directory=tmp_path) as server:
        before = serial_number(server.url)
        write_files(files.cert.parent)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: serial_number(server.url) != before)
        swap_key(files)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "cannot load the TLS certificate again" in server.errors())
        assert exchange(server.url, "GET", "/health").status == 200


def test_sighup_without_a_certificate_changes_nothing(tmp_path: Path) -> None:
    with ServerProcess("--database", "sqlite://", directory=tmp_path) as server:
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "reload 1" in server.errors())
        assert exchange(server.url, "GET", "/health").status == 200


async def test_changed_files_are_loaded_once_both_are_replaced(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(settings(files))
    before = loaded.context
    await loaded.check()
    assert loaded.context is before
    issued = authority().issue_cert(*NAMES)
    files.cert.write_bytes(issued.cert_chain_pems[0].bytes())
    for _ in range(3):
        await loaded.check()
    assert loaded.context is before
    assert len(lines(caplog, logging.ERROR)) == 1
    files.key.write_bytes(issued.private_key_pem.bytes())
    await loaded.check()
    assert loaded.context is not before
    assert len(lines(caplog, logging.ERROR)) == 1


async def test_symbolic_link_that_leads_to_new_files_is_noticed(tmp_path: Path) -> None:
    old, new = (write_files(tmp_path / name) for name in ("old", "new"))
    # Kubernetes keeps the time of each version; here both have the same.
    for file in (old.cert, new.cert, old.key, new.key):
        os.utime(file, (0, 0))
    data = tmp_path / "..data"
    data.symlink_to("old")
    linked = Files(data / "tls.crt", data / "tls.key", data / "ca.crt")
    loaded = load(settings(linked))
    before = loaded.context
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(data)
    await loaded.check()
    assert loaded.context is not before


async def test_missing_file_keeps_the_certificate(files: Files) -> None:
    loaded = load(settings(files))
    before = loaded.context
    files.key.unlink()
    await loaded.check()
    assert loaded.context is before


async def test_certificate_that_expires_soon_is_logged_once_a_day(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = AlarmCountingClock()
    now = datetime.fromtimestamp(clock.now_ms() / 1_000, UTC)
    files = write_files(tmp_path / "tls", now + timedelta(days=20))
    loaded = Certificates.of(settings(files), clock)
    assert loaded is not None
    for _ in range(10):
        clock.advance(24 * 3_600)
        await loaded.check()
        await loaded.check()
    assert len(lines(caplog, logging.WARNING)) == 4


def test_server_watches_the_files(
    sqlite: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_CHECK_SECONDS", 0.01)
    with starting_servers(sqlite, AlarmCountingClock(), **files.settings) as start:
        server = start()
        before = serial_number(server.url)
        write_files(files.cert.parent)
        wait_until(lambda: serial_number(server.url) != before)


def test_context_of_an_untrusted_issuer_is_not_accepted(files: Files, server: LiveServer) -> None:
    write_files(files.cert.parent, issuer=trustme.CA())
    server.reload_certificate()
    with pytest.raises(ssl.SSLCertVerificationError):
        serial_number(server.url)


async def test_two_loads_at_once_keep_the_newer_files(files: Files) -> None:
    loaded = load(settings(files))
    write_files(files.cert.parent)
    check = asyncio.create_task(loaded.check())
    await asyncio.sleep(0)
    write_files(files.cert.parent)
    await asyncio.gather(check, loaded.reload())
    newest = loaded.context
    await loaded.check()
    assert loaded.context is newest
