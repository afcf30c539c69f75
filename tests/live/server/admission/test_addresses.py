"""Which addresses count as one client."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.admission.addresses import address_group

SIXTY_FOUR = 1 << 64


@given(st.ip_addresses(v=4))
def test_each_ipv4_address_is_one(address: ipaddress.IPv4Address) -> None:
    assert address_group((str(address), 5)) == str(address)


@given(prefix=st.integers(0, SIXTY_FOUR - 1), one=st.integers(0, SIXTY_FOUR - 1), other=st.integers(0, SIXTY_FOUR - 1))
def test_a_network_of_64_bits_is_one(prefix: int, one: int, other: int) -> None:
    first, second = (str(ipaddress.IPv6Address((prefix << 64) + rest)) for rest in (one, other))
    if ipaddress.IPv6Address(first).ipv4_mapped is None and ipaddress.IPv6Address(second).ipv4_mapped is None:
        assert address_group((first, 1, 0, 0)) == address_group((second, 2, 0, 0))
    elsewhere = str(ipaddress.IPv6Address((((prefix + 1) % SIXTY_FOUR) << 64) + one))
    assert address_group((first, 1, 0, 0)) != address_group((elsewhere, 1, 0, 0))


@pytest.mark.parametrize(
    ("address", "group"),
    [
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"), (("fe80::1%eth0", 1, 0, 2), "fe80::/64"), ("", "local"),
        (None, "local"), ((), "local"), (("not:an:address", 1), "not:an:address"),
    ],
)  # fmt: skip
def test_other_forms(address: object, group: str) -> None:
    assert address_group(address) == group
