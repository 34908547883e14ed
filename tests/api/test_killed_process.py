"""A process that is killed at any step leaves no released image without a durable, included event."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from api.composition import Imprimatur
from api.generate import Order, Step
from api.settings import Settings
from safety.policy import DecisionOutcome

ROOT = Path(__file__).resolve().parents[2]
ENDED_BEFORE_THE_KILL = {Step.CONCLUDED, Step.INCLUDED}


def test_killing_the_process_at_each_step_never_leaves_a_release_without_an_included_event(
    services: Imprimatur, settings: Settings, order: Order, command_environment: Path
) -> None:
    before = {record.record_id for record in services.records.newest(tenant=None, limit=1000)}
    child = subprocess.run(
        [sys.executable, "-m", "tests.api.killed_child"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert child.returncode == 0, child.stderr

    time.sleep(settings.lease_s + 0.5)
    assert services.generation.run(order).outcome is DecisionOutcome.RELEASE  # this process goes on meanwhile
    services.close_abandoned()
    services.checkpoint()

    killed = [
        record
        for record in reversed(services.records.newest(tenant=None, limit=1000))
        if record.record_id not in before and "yellow star" in str(_prompt(services, record.record_id))
    ]
    assert len(killed) == len(Step)
    for step, record in zip(Step, killed, strict=True):
        events = services.log.events(record.record_id)
        kinds = [event.kind for event in events]
        if step in ENDED_BEFORE_THE_KILL:
            assert (record.state, kinds) == ("released", ["received", "released"]), step
        else:
            assert (record.state, kinds) == ("abandoned", ["received", "abandoned"]), step
        assert all(event.index is not None for event in events), step
    report = services.fsck()
    assert report.ok, report.differences


def _prompt(services: Imprimatur, record_id: str) -> object:
    return services.results.record(record_id, services.local_caller())["prompt"]
