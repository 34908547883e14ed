from __future__ import annotations

from collections import Counter

from generator.serving.line import FairLine


def drained(line: FairLine[str], most: int = 1) -> list[list[str]]:
    batches = []
    while batch := line.take(most):
        batches.append(batch)
    return batches


def test_within_a_tenant_the_first_come_is_first_served() -> None:
    line: FairLine[str] = FairLine()
    for name in ("a1", "a2", "a3"):
        line.add("a", name, name)

    assert drained(line) == [["a1"], ["a2"], ["a3"]]
    assert len(line) == 0


def test_tenants_take_turns_however_many_entries_one_of_them_has() -> None:
    line: FairLine[str] = FairLine()
    for number in range(6):
        line.add("flood", f"f{number}", "flood")
    line.add("quiet", "q0", "quiet")
    line.add("quiet", "q1", "quiet")

    order = [batch[0] for batch in drained(line)]

    assert order == ["flood", "quiet", "flood", "quiet", "flood", "flood", "flood", "flood"]


def test_a_tenant_that_pauses_neither_saves_up_turns_nor_pays_for_those_it_had() -> None:
    line: FairLine[str] = FairLine()
    for _ in range(10):
        line.add("a", "x", "a")
    assert len(drained(line)) == 10

    for _ in range(4):
        line.add("b", "y", "b")
        line.add("a", "x", "a")
    order = [batch[0] for batch in drained(line)]

    assert min(Counter(order[:6]).values()) >= 2


def test_entries_that_want_the_same_are_taken_together_across_tenants() -> None:
    line: FairLine[str] = FairLine()
    line.add("a", "512", "a-512")
    line.add("a", "256", "a-256")
    line.add("b", "256", "b-256")
    line.add("b", "512", "b-512")
    line.add("c", "512", "c-512")

    assert line.take(2) == ["a-512", "b-512"]
    assert sorted(line.take(4)) == ["c-512"]
    assert sorted(line.take(4)) == ["a-256", "b-256"]


def test_a_batch_is_filled_by_those_who_got_least() -> None:
    line: FairLine[str] = FairLine()
    for tenant, count in (("a", 5), ("b", 2), ("c", 1)):
        for _ in range(count):
            line.add(tenant, "same", tenant)

    assert Counter(line.take(4)) == {"a": 2, "b": 1, "c": 1}


def test_an_entry_whose_key_nobody_shares_is_not_passed_over_for_ever() -> None:
    line: FairLine[str] = FairLine()
    line.add("odd", "odd", "odd")
    for _ in range(50):
        line.add("a", "same", "a")

    taken = [line.take(8), line.take(8)]

    assert ["odd"] in taken


def test_what_is_removed_is_gone() -> None:
    line: FairLine[str] = FairLine()
    line.add("a", "x", "stays")
    line.add("a", "x", "goes")
    line.add("b", "x", "goes")

    line.remove(lambda entry: entry == "goes")

    assert drained(line, most=9) == [["stays"]]
