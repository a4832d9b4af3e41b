"""The worker by itself: what it calls, in which order, and that it needs nothing but the standard library and numpy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgefer.bench import worker
from tests.bench.fake import LABELS, Device, answer

FAKE = str(Path(__file__).with_name("fake.py"))


def opened(opener: str, pool: np.ndarray, tmp_path: Path, batch: int = 1, **arguments: object) -> worker.Session:
    np.save(tmp_path / "faces.npy", pool)
    session = worker.Session()
    session.open(f"{FAKE}:{opener}", arguments, "host", 1, batch, faces=str(tmp_path / "faces.npy"))
    return session


@pytest.fixture
def pool() -> np.ndarray:
    """Twelve faces, no two alike."""
    return np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)


def test_it_stands_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(Path(worker.__file__).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names - {"numpy"} <= sys.stdlib_module_names


@pytest.mark.parametrize("batch", [1, 5, 6, 12, 30])
def test_inputs_are_distinct_and_use_the_whole_pool(batch: int, pool: np.ndarray) -> None:
    count = worker.count_items(len(pool), batch)
    assert count >= min(len(pool), worker.MIN_ITEMS)
    rows = np.arange(len(pool))
    taken = [tuple(worker.take(rows, batch, number).tolist()) for number in range(count)]
    assert all(len(one) == batch for one in taken)
    assert len(set(taken)) == count
    assert set().union(*taken) == set(range(len(pool)))
    assert worker.take([b"a", b"b", b"c"], 2, 1) == [b"c", b"a"]


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        worker.count_items(0, 1)


def test_blocks_go_on_with_the_next_inputs(pool: np.ndarray, tmp_path: Path) -> None:
    session = opened("device", pool, tmp_path, timed=False)
    first = session.first()
    call: Device = session.call
    assert first["clock"] == "host"
    assert call.prepared == list(range(12))  # each once, before anything is timed
    assert call.called == [0]
    answers = session.block(5), session.block(9)
    assert call.called[1:] == [*range(5), *range(5, 12), 0, 1]
    for found, calls in zip(answers, (5, 9), strict=True):
        assert len(found["starts"]) == len(found["ns"]) == calls
        assert all(ns >= 0 for ns in found["ns"])
        ends = [start + ns for start, ns in zip(found["starts"], found["ns"], strict=True)]
        assert all(end <= start for end, start in zip(ends, found["starts"][1:], strict=False))


def test_a_devices_own_clock_is_used(pool: np.ndarray, tmp_path: Path) -> None:
    session = opened("device", pool, tmp_path, timed=True)
    assert session.first()["clock"] == "device"
    assert session.block(3)["ns"] == [1_000_002, 1_000_003, 1_000_004]
    assert session.memory()["device_bytes"] == 123


def test_outputs_are_those_of_every_input_in_order(pool: np.ndarray, tmp_path: Path) -> None:
    session = opened("device", pool, tmp_path)
    session.first()
    assert np.allclose(session.outputs()["outputs"], answer(pool))
    session = opened("plain", pool, tmp_path, batch=6)
    session.first()
    rows = np.concatenate([worker.take(np.arange(12), 6, number) for number in range(worker.count_items(12, 6))])
    assert np.allclose(session.outputs()["outputs"], answer(pool[rows]))


def test_encoded_images_come_as_bytes(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(bytes(number + 1))
    session = worker.Session()
    images = [str(tmp_path / f"{number}.jpg") for number in range(3)]
    session.open(f"{FAKE}:plain", {}, "end_to_end", 1, 1, images=images)
    session.first()
    assert session.outputs()["outputs"] == [LABELS[1], LABELS[2], LABELS[3]]


def test_arrivals_wait_for_one_another(pool: np.ndarray, tmp_path: Path) -> None:
    session = opened("plain", pool, tmp_path, seconds=0.002)
    session.first()
    offsets = [0, 100_000, 200_000, 30_000_000]
    found = session.paced(offsets, limit_ns=10**10)
    arrivals, starts, stops = (np.array(found[key]) for key in ("arrivals", "starts", "stops"))
    assert (arrivals - arrivals[0]).tolist() == offsets
    assert (starts >= arrivals).all()
    assert (starts[1:] >= stops[:-1]).all()
    assert starts[1] - arrivals[1] > 1_000_000  # the first takes 2 ms, and the second had to wait for it
    assert found["unserved"] == 0


def test_arrivals_are_given_up_at_the_limit(pool: np.ndarray, tmp_path: Path) -> None:
    session = opened("plain", pool, tmp_path, seconds=0.005)
    session.first()
    found = session.paced([0] * 50, limit_ns=20_000_000)
    assert 1 <= len(found["stops"]) < 50
    assert found["unserved"] == 50 - len(found["stops"])


def test_peak_memory_counts_what_was_touched(pool: np.ndarray) -> None:
    before = worker.peak_memory()
    if before is None:
        pytest.skip("this system does not tell")
    probe = (
        "import importlib.util as u, numpy as np\n"
        f"s = u.spec_from_file_location('w', {worker.__file__!r}); w = u.module_from_spec(s); s.loader.exec_module(w)\n"
        "a = w.peak_memory(); x = np.ones(50_000_000 // 8); print(w.peak_memory() - a)"
    )
    grown = int(subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout)
    assert 45e6 < grown < 60e6


def test_settling_notices_a_busy_thread() -> None:
    import threading

    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert not worker.settle(limit_ns=60_000_000)
    finally:
        stop.set()
        thread.join()


def test_what_a_candidate_prints_does_not_disturb_the_answers(pool: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", pool)
    setting = {"boundary": "host", "threads": 3, "batch": 1, "faces": str(tmp_path / "faces.npy")}
    requests = [
        {"do": "open", "opener": f"{FAKE}:chatty", "arguments": {}, **setting},
        {"do": "first"},
        {"do": "outputs"},
        {"do": "no_such_thing"},
        {"do": "freeze"},
    ]
    done = subprocess.run(
        [sys.executable, worker.__file__],
        input="".join(json.dumps(request) + "\n" for request in requests),
        capture_output=True,
        text=True,
        check=True,
        env={"OMP_NUM_THREADS": "3", "PATH": ""},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(requests)
    about = answers[0]["about"]
    assert Path(about["statistics"]).parent != Path(worker.__file__).parent  # the file beside it does not hide it
    assert not about["edgefer"]
    assert np.allclose(answers[2]["outputs"], answer(pool))
    assert "AttributeError" in answers[3]["error"]
    assert answers[4] == {}
    assert done.stderr.count("a line from") == 2
    assert done.stderr.count("called") == 1 + len(pool)
