from __future__ import annotations

import pytest

from api.errors import RateLimitedError
from api.http import rate_limit
from api.http.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_an_address_has_its_tokens_back_after_a_while() -> None:
    clock = Clock()
    limit = RateLimit(6, monotonic=clock)
    for _ in range(6):
        limit.take("192.0.2.1")
    with pytest.raises(RateLimitedError) as refused:
        limit.take("192.0.2.1")
    assert refused.value.retry_after_s == 10
    clock.seconds = 10
    limit.take("192.0.2.1")
    with pytest.raises(RateLimitedError):
        limit.take("192.0.2.1")


def test_addresses_do_not_share_but_an_ipv6_network_is_one() -> None:
    limit = RateLimit(1, monotonic=Clock())
    limit.take("192.0.2.1")
    limit.take("192.0.2.2")
    limit.take("2001:db8::1")
    limit.take("2001:db8:0:1::1")
    with pytest.raises(RateLimitedError):
        limit.take("2001:db8::2")


def test_dear_requests_cost_more_and_a_refused_one_costs_nothing() -> None:
    limit = RateLimit(10, monotonic=Clock())
    limit.take("a", 8)
    with pytest.raises(RateLimitedError):
        limit.take("a", 8)
    limit.take("a", 2)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_ADDRESSES", 3)
    limit = RateLimit(1, monotonic=Clock())
    for address in ("a", "b", "c", "d"):
        limit.take(address)
    limit.take("a")  # forgotten, so it starts again
    with pytest.raises(RateLimitedError):
        limit.take("d")
