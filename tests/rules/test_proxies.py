"""Trusted proxies: whose forwarded headers count, and the client's address behind them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver.identity.proxies import Proxies, read_network

PROXIES = Proxies(["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"], is_open=False)
NONE = Proxies([], is_open=False)
OPEN = Proxies([], is_open=True)

PEER = "10.0.0.1"
"""A trusted proxy."""

CLIENTS = [
    pytest.param("", PEER, id="no header"),
    pytest.param("198.51.100.7", "198.51.100.7", id="client"),
    pytest.param("203.0.113.9, 198.51.100.7", "198.51.100.7", id="address that a client wrote"),
    pytest.param("198.51.100.7, 10.2.3.4", "198.51.100.7", id="two proxies"),
    pytest.param("198.51.100.7,10.2.3.4,192.0.2.1,fd00::5", "198.51.100.7", id="four proxies"),
    pytest.param("203.0.113.9, 192.0.2.2", "192.0.2.2", id="neighbour of a proxy"),
    pytest.param("10.9.9.9, 10.2.3.4", "10.9.9.9", id="proxies alone"),
    pytest.param("10.9.9.9, 198.51.100.7", "198.51.100.7", id="address of a proxy before"),
    pytest.param("198.51.100.7:4711", "198.51.100.7", id="IPv4 with a port"),
    pytest.param("198.51.100.7, 10.2.3.4:80", "198.51.100.7", id="proxy with a port"),
    pytest.param("[2001:db8::7]:4711", "2001:db8::7", id="IPv6 with a port"),
    pytest.param("[2001:db8::7]", "2001:db8::7", id="IPv6 in brackets"),
    pytest.param("2001:DB8:0::7", "2001:db8::7", id="IPv6 without brackets"),
    pytest.param("2001:db8::7%eth0", "2001:db8::7", id="IPv6 with a scope"),
    pytest.param("[fe80::1%eth0]:80", "fe80::1", id="IPv6 with a scope in brackets"),
    pytest.param("::ffff:198.51.100.7", "198.51.100.7", id="IPv4-mapped client"),
    pytest.param("198.51.100.7, ::ffff:10.2.3.4", "198.51.100.7", id="IPv4-mapped proxy"),
    pytest.param("[::ffff:198.51.100.7]:80", "198.51.100.7", id="IPv4-mapped in brackets"),
    pytest.param("\t198.51.100.7 ,\t10.2.3.4 ", "198.51.100.7", id="spaces and tabs"),
    pytest.param("198.51.100.7, unknown", PEER, id="garbage at the end"),
    pytest.param("198.51.100.7, unknown, 10.2.3.4", "10.2.3.4", id="garbage between"),
    pytest.param("198.51.100.7,, 10.2.3.4", "10.2.3.4", id="empty entry"),
    pytest.param("198.51.100.7,", PEER, id="empty entry at the end"),
    pytest.param("_hidden", PEER, id="obfuscated"),
    pytest.param('"198.51.100.7"', PEER, id="quotes"),
    pytest.param("for=198.51.100.7", PEER, id="syntax of Forwarded"),
    pytest.param("198.51.100.07", PEER, id="leading zero"),
    pytest.param("0x0a.1.1.1", PEER, id="hexadecimal"),
    pytest.param("198.51.100", PEER, id="three parts"),
    pytest.param("3325256711", PEER, id="one number"),
    pytest.param("198.51.100.7:", PEER, id="port without a number"),
    pytest.param("198.51.100.7:http", PEER, id="port that is a name"),
    pytest.param("198.51.100.7:123456", PEER, id="long port"),
    pytest.param("[198.51.100.7]", "198.51.100.7", id="IPv4 in brackets"),
    pytest.param("[2001:db8::7", PEER, id="open bracket"),
    pytest.param("198.51.100.7 10.2.3.4", PEER, id="no comma"),
    pytest.param("198.51.100.7\x00", PEER, id="zero byte"),
    pytest.param("١٩٨.51.100.7", PEER, id="digits that are not ASCII"),
    pytest.param("localhost", PEER, id="name"),
    pytest.param("x" * 100_000, PEER, id="long entry"),
    pytest.param("1" * 100_000 + ".1.1.1", PEER, id="long number"),
    pytest.param("198.51.100.7" + ", 10.2.3.4" * 31, "198.51.100.7", id="32 entries"),
    pytest.param("198.51.100.7" + ", 10.2.3.4" * 32, "10.2.3.4", id="33 entries"),
    pytest.param("198.51.100.7" + "," * 60_000, PEER, id="many commas"),
]


@pytest.mark.parametrize(("forwarded_for", "client"), CLIENTS)
def test_client_is_the_last_address_that_is_no_trusted_proxy(
    forwarded_for: str, client: str
) -> None:
    assert PROXIES.client_address(PEER, forwarded_for) == client


@given(st.text("0123456789abcdef.:,[]% x", max_size=60))
def test_client_can_add_nothing_before_its_own_address(added: str) -> None:
    assert PROXIES.client_address(PEER, f"{added}, 198.51.100.7") == "198.51.100.7"


@given(st.text(max_size=60))
def test_no_header_is_an_error(text: str) -> None:
    assert PROXIES.client_address(PEER, text)
    PROXIES.peer(text, is_secure=False)


@pytest.mark.parametrize(
    ("address", "is_proxy"),
    [
        ("10.255.0.1", True),
        ("192.0.2.1", True),
        ("fd12::1", True),
        ("fd12::1%eth0", True),
        ("192.0.2.2", False),
        ("11.0.0.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("name", False),
    ],
)
def test_peer_in_a_listed_network_is_a_proxy(address: str, is_proxy: bool) -> None:
    for _ in range(2):
        peer = PROXIES.peer(address, is_secure=False)
        assert (peer.is_proxy, peer.names_host) == (is_proxy, is_proxy)


@pytest.mark.parametrize(("proxies", "names_host"), [(NONE, False), (OPEN, True)])
def test_without_a_list_headers_count_for_urls_only_while_access_is_off(
    proxies: Proxies, names_host: bool
) -> None:
    peer = proxies.peer("10.0.0.1", is_secure=False)
    assert (peer.is_proxy, peer.names_host) == (False, names_host)
    assert not peer.is_request_secure("https")


def test_with_a_list_headers_of_other_peers_count_nowhere() -> None:
    proxies = Proxies(["10.0.0.0/8"], is_open=True)
    peer = proxies.peer("192.0.2.1", is_secure=False)
    assert (peer.is_proxy, peer.names_host) == (False, False)


@pytest.mark.parametrize(
    ("proto", "is_secure", "expected"),
    [
        ("https", False, True),
        ("HTTPS", False, True),
        (" https , https", False, True),
        ("http", False, False),
        ("http", True, False),
        ("https, http", False, False),
        ("http, https", False, False),
        ("https,", False, False),
        ("httpsx", True, False),
        ("", False, False),
        ("", True, True),
    ],
)
def test_request_behind_a_proxy_is_secure_if_every_hop_says_so(
    proto: str, is_secure: bool, expected: bool
) -> None:
    assert PROXIES.peer(PEER, is_secure=is_secure).is_request_secure(proto) is expected
    stranger = PROXIES.peer("192.0.2.9", is_secure=is_secure)
    assert stranger.is_request_secure(proto) is is_secure


def test_connections_share_few_peers() -> None:
    first, second = (PROXIES.peer(f"10.0.0.{n}", is_secure=True) for n in (1, 2))
    assert first is second
    assert first is not PROXIES.peer("10.0.0.1", is_secure=False)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("FD00::/8", "fd00::/8"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_network_is_read_in_its_usual_form(text: str, network: str) -> None:
    assert read_network(text) == network
