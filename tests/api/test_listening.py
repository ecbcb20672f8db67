"""Addresses and ports that the server listens on, and the line that names them."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from queueserver.http.binding import bind
from queueserver.start_errors import StartError
from tests.api.raw_http import exchange
from tests.api.server_process import ServerProcess

DATABASE = ("--database", "sqlite://")


def has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")


def connects(host: str, port: int) -> bool:
    """Return whether a socket listens at an address."""
    try:
        with closing(socket.create_connection((host, port))):
            return True
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize(
    ("hosts", "is_ipv4", "is_ipv6", "sockets"),
    [
        (["127.0.0.1"], True, False, 1),
        (["::1"], False, True, 1),
        (["::"], True, True, 1),
        (["0.0.0.0"], True, False, 1),
        (["localhost"], True, True, 2),
        (["LocalHost"], True, True, 2),
        (["127.0.0.1", "::1"], True, True, 2),
        (["::1", "127.0.0.1"], True, True, 2),
        (["0.0.0.0", "::"], True, True, 1),
        (["::", "127.0.0.1", "::1"], True, True, 1),
        (["0.0.0.0", "127.0.0.1", "::1"], True, True, 2),
        (["localhost", "127.0.0.1", "::1"], True, True, 2),
    ],
)
async def test_hosts_listen_on_the_same_free_port(
    hosts: list[str], is_ipv4: bool, is_ipv6: bool, sockets: int
) -> None:
    ((port, bound),) = (await bind(hosts, [0])).items()
    assert port > 0
    assert (connects("127.0.0.1", port), connects("::1", port)) == (is_ipv4, is_ipv6)
    assert len(bound) == sockets
    for each in bound:
        each.close()


async def test_port_that_another_address_uses_is_not_chosen() -> None:
    taken = [socket.create_server(("::1", 0), family=socket.AF_INET6) for _ in range(200)]
    used = {each.getsockname()[1] for each in taken}
    for _ in range(50):
        ((port, bound),) = (await bind(["127.0.0.1", "::1"], [0])).items()
        assert port not in used
        for each in bound:
            each.close()
    for each in taken:
        each.close()


async def test_host_without_an_address_is_rejected() -> None:
    with pytest.raises(StartError, match=r"^cannot listen on host\.invalid:80: "):
        await bind(["host.invalid"], [80])


@pytest.mark.parametrize(
    ("host", "warnings"),
    [
        pytest.param("::", 1, id="all addresses, without access control"),
        pytest.param("localhost", 0, id="loopback addresses"),
    ],
)
def test_server_answers_on_both_families(host: str, warnings: int, tmp_path: Path) -> None:
    with ServerProcess("--host", host, *DATABASE, directory=tmp_path) as server:
        (url,) = server.urls
        port = urlsplit(url).port
        assert urlsplit(url).hostname == host
        for name in ("127.0.0.1", "[::1]"):
            assert exchange(f"http://{name}:{port}", "GET", "/health").status == 200
        status, output, errors = server.stop()
        assert (status, output) == (0, "")
        assert len(errors.splitlines()) == errors.count("access control is off") == warnings


def test_start_prints_one_line_with_each_host_and_port(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        fixed = probe.getsockname()[1]
    flags = ("--host", "127.0.0.1", "--host", "::1", "--port", str(fixed), *DATABASE)
    with ServerProcess(*flags, directory=tmp_path) as server:
        free = urlsplit(server.urls[1]).port
        assert server.urls == [
            f"http://{host}:{port}" for host in ("127.0.0.1", "[::1]") for port in (fixed, free)
        ]
        assert free not in (0, fixed)
        assert server.line == f"queueserver listening on {' '.join(server.urls)} (sqlite://)\n"
        for url in server.urls:
            assert exchange(url, "GET", "/health").status == 200
        assert server.stop() == (0, "", "")


def test_variables_and_file_have_lists_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('host = ["127.0.0.1", "::1"]\n')
    file = {"QUEUESERVER_CONFIG": "settings.toml"}
    variable = {"QUEUESERVER_HOST": "127.0.0.1,::1"}
    for settings in (file, variable):
        with ServerProcess(*DATABASE, directory=tmp_path, settings=settings) as server:
            assert [urlsplit(url).hostname for url in server.urls] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (["localhost"], "localhost"),
        (["127.0.0.1", "::1"], "[::1]"),
        (["::"], "[::]"),
    ],
)
async def test_port_in_use_on_one_address_of_several_is_rejected(
    hosts: list[str], name: str
) -> None:
    with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            await bind(hosts, [port])
    assert str(caught.value) == f"cannot listen on {name}:{port}: address already in use"
