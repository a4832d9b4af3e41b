"""Order and count of the calls; how long they take is not tested here."""

from __future__ import annotations

from collections import Counter

from edgefer.bench.measure import interleave


def test_every_candidate_is_called_in_every_round_in_turn() -> None:
    calls: list[str] = []
    seen: list[int] = []
    candidates = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    samples = interleave(candidates, rounds=6, warmup=2, progress=lambda n, of: seen.append(n))
    assert Counter(calls) == {"a": 8, "b": 8, "c": 8}
    assert "".join(calls[6:]) == "abcbcacababcbcacab"
    assert all(len(s) == 6 and (s > 0).all() for s in samples.values())
    assert seen == [1, 2, 3, 4, 5, 6]
