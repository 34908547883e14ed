"""A line in which tenants take turns, and from which those who want the same are taken together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairLine(Generic[T]):
    """Entries wait by tenant, first come first served; between tenants, the one that got least is next.

    Start-time fair queuing (Goyal, Vin & Cheng, 1996) with one image as the unit: each entry that is taken moves its
    tenant's tag on by one, and a tenant that comes back after a pause starts at the present, so that it can neither
    save up turns nor be made to wait for those it had. Not thread-safe.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[Hashable, T]]] = {}
        self._tags: dict[str, int] = {}
        self._now = 0

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._waiting.values())

    def add(self, tenant: str, key: Hashable, entry: T) -> None:
        """Put an entry at the end of its tenant's line; entries with equal keys can be taken together."""
        if tenant not in self._waiting:
            self._tags = {name: tag for name, tag in self._tags.items() if name in self._waiting or tag > self._now}
            self._tags[tenant] = max(self._tags.get(tenant, 0), self._now)
            self._waiting[tenant] = deque()
        self._waiting[tenant].append((key, entry))

    def take(self, most: int) -> list[T]:
        """Take the next entry, and up to `most` in all with its key, tenant by tenant; empty if nobody waits."""
        if not self._waiting:
            return []
        first = min(self._waiting, key=self._tags.__getitem__)
        self._now = max(self._now, self._tags[first])
        wanted = self._waiting[first][0][0]
        taken = [self._pop(first, 0)]
        while len(taken) < most and (found := self._next(wanted)) is not None:
            taken.append(self._pop(*found))
        return taken

    def remove(self, unwanted: Callable[[T], bool]) -> None:
        """Take out every entry that is unwanted; its tenant loses no turn by it."""
        for tenant, entries in list(self._waiting.items()):
            kept = deque(item for item in entries if not unwanted(item[1]))
            if kept:
                self._waiting[tenant] = kept
            else:
                del self._waiting[tenant]

    def _next(self, wanted: Hashable) -> tuple[str, int] | None:
        """Tenant and place of the next entry with this key."""
        for tenant in sorted(self._waiting, key=self._tags.__getitem__):
            for place, (key, _) in enumerate(self._waiting[tenant]):
                if key == wanted:
                    return tenant, place
        return None

    def _pop(self, tenant: str, place: int) -> T:
        entries = self._waiting[tenant]
        entry = entries[place][1]
        del entries[place]
        self._tags[tenant] += 1
        if not entries:
            del self._waiting[tenant]
        return entry
