"""The checks of every policy in use, built once and shared where two policies ask the same of a check."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safety.policy import Policy
    from safety.registry import BuiltChecks, CheckDependencies, CheckRegistry, Shelf

MOST_POLICIES_KEPT = 64


class CheckBench:
    """Builds checks. Thread-safe: two requests that come first at once get the same checks."""

    def __init__(self, registry: CheckRegistry, dependencies: CheckDependencies) -> None:
        self._registry = registry
        self._dependencies = dependencies
        self._lock = threading.Lock()
        self._shelf: Shelf = {}
        self._built: dict[str, BuiltChecks] = {}

    def checks_of(self, policy: Policy) -> BuiltChecks:
        """The checks of a policy; raises as `CheckRegistry.build`."""
        with self._lock:
            if policy.digest not in self._built:
                if len(self._built) >= MOST_POLICIES_KEPT:
                    self._built.clear()
                    self._shelf.clear()
                self._built[policy.digest] = self._registry.build(policy, self._dependencies, self._shelf)
            return self._built[policy.digest]
