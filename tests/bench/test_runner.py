"""Who is called when and with what; how long it takes is not tested here."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from edgefer.bench.candidates import SCRATCH, Candidate
from edgefer.bench.inputs import drawn
from edgefer.bench.process import CandidateError
from edgefer.bench.runner import MAX_CALLS, arrivals, measure, order
from edgefer.bench.runs import Plan
from edgefer.errors import ParityError, UsageError
from edgefer.imageset import ImageSet
from tests.bench.conftest import SMALL
from tests.bench.fake import LABELS, answer

Fake = Callable[..., Candidate]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_the_order_is_fair(count: int) -> None:
    """In a whole cycle each is at each place equally often, and each has others before it in different cycles."""
    rounds = [order(count, number) for number in range(2 * count)]
    assert all(sorted(one) == list(range(count)) for one in rounds)
    for place in range(count):
        assert set(Counter(one[place] for one in rounds).values()) == {2}
    if count > 2:
        before = {pair for one in rounds for pair in pairwise(one)}
        assert all((b, a) in before for a, b in before)


def test_arrivals_are_poisson() -> None:
    moments = np.array(arrivals(rate=200, seconds=50, seed=3)) / 1e9
    assert len(moments) == pytest.approx(10_000, abs=4 * 100)  # variance of a Poisson count is its mean
    assert (np.diff(moments) > 0).all()
    assert moments[-1] < 50
    assert stats.kstest(np.diff(moments), stats.expon(scale=1 / 200).cdf).pvalue > 0.01
    assert arrivals(200, 50, seed=3) == arrivals(200, 50, seed=3) != arrivals(200, 50, seed=4)
    assert len(arrivals(rate=0.001, seconds=0.1, seed=0)) == 1  # a block has at least one


def test_a_whole_run(fake: Fake, plan: Plan, pool: ImageSet) -> None:
    """Every round in every process, in turn, never two at a time, and every sample is there."""
    seen: list[tuple[str, int, int]] = []
    run = measure([fake(name) for name in "abc"], plan, pool, lambda *step: seen.append(step))
    rounds = 5  # 20 ms in turns of 2 ms, over two processes
    assert [m.candidate.name for m in run.measured] == list("abc")
    assert run.failed == {}
    turns = []
    for found in run.measured:
        assert [len(process.blocks) for process in found.processes] == [rounds, rounds]
        assert [block.round for block in found.blocks] == list(range(2 * rounds))
        assert len(found.ns) == sum(len(block.ns) - block.lead for block in found.blocks)
        assert len(found.round_medians) == 2 * rounds
        assert found.process_medians.tolist() == [float(np.median(process.ns)) for process in found.processes]
        assert np.allclose(found.outputs, answer(pool.faces(SMALL)))
        assert found.clock == "host"
        for process in found.processes:
            assert process.load_ns > 0
            assert process.first_ns > 0
            assert len({len(block.kept) for block in process.blocks}) == 1
        for block in found.blocks:
            assert block.lead >= 1
            assert 1 <= len(block.kept) <= MAX_CALLS
            turns.append((int(block.starts[0]), int(block.starts[-1] + block.ns[-1]), block, found.candidate.name))
    turns.sort(key=lambda turn: turn[0])
    assert all(end <= start for (_, end, *_), (start, *_) in pairwise(turns))
    for number in range(2 * rounds):
        these = [turn for turn in turns if turn[2].round == number]
        assert [turn[2].position for turn in these] == [0, 1, 2]
        assert ["abc".index(turn[3]) for turn in these] == order(3, number)
    assert seen[-1] == ("measuring", 6 * rounds, 6 * rounds)
    done = [done for what, done, _ in seen if what == "measuring"]
    assert done == sorted(done)
    assert {what for what, *_ in seen} == {"opening", "warming up", "measuring"}


def test_processes_are_fresh_and_share_a_scratch_folder(fake: Fake, plan: Plan, pool: ImageSet, tmp_path: Path) -> None:
    """Each start sees what the ones before it left, and nothing of an earlier run."""
    log = tmp_path / "log.txt"
    candidate = fake("a", "leaving", log=str(log), environment={"FAKE_SCRATCH": SCRATCH})
    for _ in range(2):
        measure([candidate], replace(plan, processes=3), pool)
    pids, left = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert len(set(pids)) == 6
    assert left == ("0", "1", "2") * 2


def test_what_candidates_are_given(fake: Fake, pool: ImageSet, tmp_path: Path) -> None:
    """Boundary, threads, batch; faces as arrays, images as bytes; overrides of a candidate come first."""
    log = tmp_path / "log.txt"
    other = drawn(4, seed=9)
    plan = Plan(batch=2, threads=3, seconds=0.01, block=0.001, warmup=0.01, processes=1)
    candidates = [fake("a", log=str(log)), fake("b", log=str(log), boundary="end_to_end", pool=other)]
    run = measure(candidates, plan, pool)
    assert set(log.read_text().splitlines()) == {"host 3 2 ndarray 2", "end_to_end 3 2 list 2"}
    labels = run.measured[1].outputs
    assert set(labels) == {LABELS[len(data) % 7] for _, data in other.images}


def test_arrivals_in_a_run(fake: Fake, pool: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.bench.runner.PACED_BLOCK", 0.05)
    plan = Plan(seconds=0.4, rate=400, warmup=0.02, processes=2)
    run = measure([fake("a"), fake("b", seconds=0.004)], plan, pool)
    for found in run.measured:
        for block in found.blocks:
            assert block.queued is not None
            arrived, stops = block.starts - block.queued, block.starts + block.ns - block.queued
            assert (block.queued >= 0).all()
            assert (np.diff(arrived) > 0).all()
            assert (block.starts[1:] >= stops[:-1]).all()  # one server
            assert len(block.kept) >= 1
    a, b = (m.blocks for m in run.measured)
    assert all(len(x.ns) + x.unserved == len(y.ns) + y.unserved for x, y in zip(a, b, strict=True))  # the same arrivals
    assert sum(block.unserved for block in a) == 0
    queued = [np.concatenate([block.queued for block in blocks]).mean() for blocks in (a, b)]  # type: ignore[misc]
    assert queued[1] > queued[0]  # 4 ms of work every 2.5 ms


def test_wrong_answers_are_not_measured(fake: Fake, plan: Plan, pool: ImageSet) -> None:
    good, off = fake("good", network="n"), fake("off", shift=0.01, network="n")
    with pytest.raises(ParityError, match=r"off answers differently from good.*max \|dp\| 1.0e-02"):
        measure([good, off], plan, pool)
    run = measure([good, off, fake("fine", network="n")], plan, pool, keep_going=True)
    assert [m.candidate.name for m in run.measured] == ["good", "fine"]
    assert "answers differently" in run.failed["off"]
    other = replace(off, network="another")
    assert len(measure([good, other], plan, pool).measured) == 2  # other networks may differ


def test_a_candidate_that_fails(fake: Fake, plan: Plan, pool: ImageSet) -> None:
    candidates = [fake("a"), fake("b", "broken", how="raise")]
    with pytest.raises(CandidateError, match="no such luck"):
        measure(candidates, plan, pool)
    run = measure(candidates, plan, pool, keep_going=True)
    assert [m.candidate.name for m in run.measured] == ["a"]
    assert "no such luck" in run.failed["b"]
    assert measure(candidates[1:], plan, pool, keep_going=True).measured == ()


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("turns", [False, True])
def test_a_candidate_that_fails_while_it_is_measured(
    fake: Fake, plan: Plan, pool: ImageSet, tmp_path: Path, turns: bool, start: int
) -> None:
    """While warming up or in its turns, in its first process or a later one: the others are measured all the same."""
    candidates = [fake("a"), fake("b", "failing", turns=turns, start=start, folder=str(tmp_path)), fake("c")]
    run = measure(candidates, plan, pool, keep_going=True)
    assert [m.candidate.name for m in run.measured] == ["a", "c"]
    assert all(len(process.blocks) == 5 for m in run.measured for process in m.processes)
    assert "no more" in run.failed["b"]
    for left in tmp_path.iterdir():
        left.unlink()
    with pytest.raises(CandidateError, match="no more"):
        measure(candidates, plan, pool)


def test_bad_plans_and_names(fake: Fake, plan: Plan, pool: ImageSet) -> None:
    for wrong in ({"boundary": "gpu"}, {"batch": 0}, {"threads": 0}, {"processes": 0}, {"seconds": 0}, {"rate": 0.0}):
        with pytest.raises(UsageError):
            Plan(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="device alone"):
        Plan(boundary="compute", rate=10)
    with pytest.raises(UsageError, match="no boundary"):
        fake("a", boundary="gpu")
    for candidates in ([], [fake("a"), fake("a")]):
        with pytest.raises(UsageError):
            measure(candidates, plan, pool)


def test_another_python(fake: Fake, plan: Plan, pool: ImageSet, tmp_path: Path) -> None:
    """A peer's interpreter needs numpy and nothing of ours."""
    link = tmp_path / "python"
    try:
        link.symlink_to(sys.executable)
    except OSError:
        pytest.skip("no links here")
    packages = [entry for entry in sys.path if entry.endswith("site-packages")]
    candidate = fake("a", "chatty", python=str(link), environment={"PYTHONPATH": packages[0]})
    about = measure([candidate], plan, pool).measured[0].about
    assert about["python"] == str(link)
    assert about["edgefer"] is False
