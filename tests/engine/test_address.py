"""The address guard: no spelling, name, answer or redirect leads into a private network."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from gleanset.errors import ImageRefused, OutcomeError
from gleanset.fetch import Fetcher, FetchOptions
from gleanset.fetch.address import PrivateAddressError, guarded_socket, is_public
from gleanset.types import Reason
from tests.engine.hostile import Hostile, redirect, reply

REFUSED_NETWORKS = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32",
    "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip


@pytest.mark.parametrize("network", REFUSED_NETWORKS)
def test_the_ends_and_the_middle_of_a_private_network(network: str) -> None:
    refused = ip_network(network)
    for address in (refused[0], refused[-1], refused[refused.num_addresses // 2]):
        assert not is_public(address), address


@settings(deadline=None)
@given(st.sampled_from(REFUSED_NETWORKS).map(ip_network), st.data())
def test_anywhere_in_a_private_network(network: IPv4Network | IPv6Network, data: st.DataObject) -> None:
    assert not is_public(network[data.draw(st.integers(0, network.num_addresses - 1))])


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
        "11.0.0.1", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001:81b::200e",
        "2001:4860:4860::8888",
    ],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_wrapping_an_address_does_not_make_it_public(address: IPv4Address) -> None:
    number = int(address)
    for wrapped in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80, number):
        assert not is_public(IPv6Address(wrapped))


def guarded(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return guarded_socket((family, socket.SOCK_STREAM, 0, "", (address, 80)))


@pytest.mark.parametrize("address", ["127.0.0.1", "fe80::1%lo", "fe80::1", "169.254.169.254", "::ffff:8.8.8.8"])
def test_no_socket_is_made_for_a_private_address(address: str) -> None:
    with pytest.raises(PrivateAddressError):
        guarded(address)


def test_a_socket_is_made_for_a_public_address() -> None:
    with guarded("93.184.216.34") as made:
        assert made.family is socket.AF_INET


@pytest.fixture
async def inside() -> AsyncIterator[Hostile]:
    """A server that must not be reached."""
    async with Hostile({"/": reply()}) as server:
        yield server


def strict(server: Hostile, **hosts: str) -> FetchOptions:
    """The ordinary guard; the server's port is allowed, so that only its address can be the reason."""
    names = {name.replace("_", "."): address for name, address in hosts.items()}
    return FetchOptions(ports=frozenset({80, server.port}), hosts=names, back_off=0.005, connect_timeout=2)


SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7F.1", "017700000001", "0177.0.0.1",
    "0177.0.0.01", "0", "0.0.0.0", "0x0", "127.0.0.1.", "127.255.255.254", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1%25lo]", "localhost", "LOCALHOST", "localhost.", "①②⑦.⓪.⓪.①",
    "127。0。0。1", "１２７.0.0.1", "%31%32%37.0.0.1", "ⓛocalhost",
]  # fmt: skip


@pytest.mark.parametrize("host", SPELLINGS)
async def test_every_spelling_of_this_machine(inside: Hostile, host: str) -> None:
    """Refused by the guard, or not a host at all: never connected to."""
    async with Fetcher(strict(inside)) as fetcher:
        with pytest.raises(OutcomeError) as caught:
            await fetcher.get(inside.url(host=host))
    assert caught.value.reason in {Reason.PRIVATE_ADDRESS, Reason.BAD_URL, Reason.DNS}
    assert inside.connections == 0


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "localhost"],
)
async def test_the_reason_names_the_guard(inside: Hostile, host: str) -> None:
    async with Fetcher(strict(inside)) as fetcher:
        with pytest.raises(ImageRefused) as caught:
            await fetcher.get(inside.url(host=host))
    assert caught.value.reason is Reason.PRIVATE_ADDRESS


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "::1", "fd00::1", "0.0.0.0"]
)
async def test_a_name_for_a_private_address(inside: Hostile, address: str) -> None:
    async with Fetcher(strict(inside, pictures_test=address)) as fetcher:
        with pytest.raises(ImageRefused) as caught:
            await fetcher.get(inside.url(host="pictures.test"))
    assert caught.value.reason is Reason.PRIVATE_ADDRESS
    assert inside.connections == 0


async def test_the_same_name_is_reached_when_the_user_allows_it(inside: Hostile) -> None:
    """The guard is what keeps the others out, not the name."""
    async with Fetcher(FetchOptions(allow_private=True, hosts={"pictures.test": "127.0.0.1"})) as fetcher:
        assert (await fetcher.get(inside.url(host="pictures.test"))).body == b"picture"
        assert inside.paths() == ["/"]


class Answers(AbstractResolver):
    """A name server whose answer changes from question to question, as an attacker's does."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._answers.pop(0)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def test_an_answer_that_was_public_when_it_was_looked_at(inside: Hostile) -> None:
    """DNS rebinding: what counts is the address that is connected to, not the one from a moment ago."""
    resolver = Answers(("93.184.216.34",), ("127.0.0.1",))
    looked_at = await resolver.resolve("rebind.test")
    assert is_public(ip_address(looked_at[0]["host"]))
    connector = aiohttp.TCPConnector(resolver=resolver, socket_factory=guarded_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get(inside.url(host="rebind.test"))
    assert isinstance(caught.value.os_error, PrivateAddressError)
    assert inside.connections == 0


async def test_several_private_answers_are_told_as_such(inside: Hostile) -> None:
    connector = aiohttp.TCPConnector(
        resolver=Answers(("127.0.0.1", "::1", "10.0.0.1", "192.168.0.1")), socket_factory=guarded_socket
    )
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get(inside.url(host="many.test"))
    assert isinstance(caught.value.os_error, PrivateAddressError)
    assert inside.connections == 0


def own_address() -> str:
    """The address this machine would speak from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


async def test_the_machines_own_address() -> None:
    assert not is_public(ip_address(own_address()))
    with pytest.raises(PrivateAddressError):
        guarded(own_address())


@pytest.mark.parametrize("target", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "[::ffff:127.0.0.1]", "inside.test"])
async def test_a_redirect_inside_goes_through_the_guard_again(
    inside: Hostile, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door stands for a public server: its port alone gets past the guard, and points inside."""
    async with Hostile() as door:
        door.answers["/"] = redirect(inside.url(host=target))
        checked: list[int] = []

        def only_the_door(info: tuple[int, int, int, str, tuple[str, int]]) -> socket.socket:
            checked.append(info[4][1])
            return socket.socket(*info[:3]) if info[4][1] == door.port else guarded_socket(info)

        monkeypatch.setattr("gleanset.fetch.wire.guarded_socket", only_the_door)
        options = replace(strict(inside, inside_test="127.0.0.1"), ports=frozenset({door.port, inside.port}))
        async with Fetcher(options) as fetcher:
            with pytest.raises(ImageRefused) as caught:
                await fetcher.get(door.url())
        assert caught.value.reason is Reason.PRIVATE_ADDRESS
        assert door.paths() == ["/"]
        assert set(checked) == {door.port, inside.port}
        assert inside.connections == 0
