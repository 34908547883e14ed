"""How often one address may ask what needs no key: a token bucket for each, in this process."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from api.errors import RateLimitedError

MAX_ADDRESSES = 100_000
_IPV6_PREFIX = 64  # a provider hands out whole networks of this size


class RateLimit:
    """Each address gets `per_minute` tokens a minute, and may save up one minute's. Thread-safe.

    With more than `MAX_ADDRESSES` addresses the one that was quiet for longest is forgotten.
    """

    def __init__(self, per_minute: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, when that was

    def take(self, address: str, tokens: int = 1) -> None:
        """Spend tokens of an address.

        Raises:
            RateLimitedError: there are not enough; it says when there will be.
        """
        key = _network(address)
        now = self._monotonic()
        with self._lock:
            left, since = self._buckets.pop(key, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
            is_enough = left >= tokens
            self._buckets[key] = (left - tokens if is_enough else left, now)
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        if not is_enough:
            wait_s = max(1, round((tokens - left) * 60 / self._per_minute))
            raise RateLimitedError(f"too many requests; ask again in {wait_s} s", retry_after_s=wait_s)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address
