"""Files and folders are replaced whole, whatever happens in between."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgefer import files
from edgefer.files import replace_directory, replace_file, sha256_file

exchanging = pytest.mark.skipif(os.name == "nt", reason="Windows cannot exchange two folders in one step")

NAMES = ("manifest.json", "model.onnx", "parts/weights.bin")


def fill(folder: Path, generation: int) -> None:
    """Write three files that all say which generation they are."""
    for name in NAMES:
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"%d\n" % generation * 500)


def generation_of(folder: Path) -> int:
    """The one generation that a whole folder holds."""
    found = set()
    for name in NAMES:
        lines = (folder / name).read_bytes().split()
        assert len(lines) == 500, f"{name} is cut"
        found |= set(lines)
    assert len(found) == 1, f"generations are mixed: {found}"
    return int(found.pop())


def listing(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def replace_and_fail(path: Path, generation: int, error: type[BaseException] = RuntimeError) -> None:
    """Something goes wrong while the new folder is being filled."""
    with replace_directory(path) as folder:
        fill(folder, generation)
        raise error


@contextmanager
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on Windows, or on a file system without RENAME_EXCHANGE."""
    with monkeypatch.context() as patch:
        patch.setattr(files, "_exchange", lambda a, b: False)
        yield


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, 3 * (1 << 20) + 17])
def test_sha256_of_files_around_the_chunk_size(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_replace_file_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "table.csv"
    for text in ("old", "new"):
        with replace_file(path) as partial:
            assert partial.parent == path.parent  # the same file system, or the rename would be a copy
            assert not path.exists() or path.read_text() == "old"
            partial.write_text(text)
    assert path.read_text() == "new"
    assert listing(path.parent) == {"table.csv"}


def test_replace_file_leaves_the_old_one_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def stop_half_way() -> None:
        with replace_file(path) as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError), replace_file(path):
        pass  # nothing was written
    assert path.read_text() == "old"
    assert listing(tmp_path) == {"table.csv"}


@pytest.mark.parametrize("exchange", [True, False])
def test_replace_directory_puts_the_new_one_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    path = tmp_path / "deep" / "artifact"
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    for generation in (1, 2, 3):
        with replace_directory(path) as folder:
            fill(folder, generation)
            if generation > 1:
                assert generation_of(path) == generation - 1
                (folder / f"only-in-{generation}").touch()
    assert generation_of(path) == 3
    assert listing(path) == {"manifest.json", "model.onnx", "parts", "only-in-3"}
    assert listing(path.parent) == {"artifact"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_inside_leaves_the_old_folder_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "artifact"
    with pytest.raises(error):
        replace_and_fail(path, 1, error)
    assert listing(tmp_path) == set()
    with replace_directory(path) as folder:
        fill(folder, 1)
    with pytest.raises(error):
        replace_and_fail(path, 2, error)
    assert generation_of(path) == 1
    assert listing(tmp_path) == {"artifact"}


def test_without_exchange_a_failing_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "artifact"
    with replace_directory(path) as folder:
        fill(folder, 1)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if "partial" in self.name:
            raise PermissionError("a virus scanner holds the folder")
        return rename(self, target)

    with no_exchange(monkeypatch), monkeypatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(PermissionError), replace_directory(path) as folder:
            fill(folder, 2)
    assert generation_of(path) == 1
    assert listing(tmp_path) == {"artifact"}


def test_a_death_between_the_two_renames_is_mended_by_the_next_call(tmp_path: Path) -> None:
    """The process died after it had moved the old folder aside: that one is put back, even if the next call fails."""
    path, aside = tmp_path / "artifact", tmp_path / ".artifact.replaced"
    aside.mkdir()
    fill(aside, 1)
    with pytest.raises(RuntimeError):
        replace_and_fail(path, 2)
    assert generation_of(path) == 1
    assert listing(tmp_path) == {"artifact"}


def test_a_death_before_the_old_folder_was_deleted_is_mended_too(tmp_path: Path) -> None:
    path, aside = tmp_path / "artifact", tmp_path / ".artifact.replaced"
    for folder, generation in ((aside, 1), (path, 2)):
        folder.mkdir()
        fill(folder, generation)
    with pytest.raises(RuntimeError):
        replace_and_fail(path, 3)
    assert generation_of(path) == 2
    assert listing(tmp_path) == {"artifact"}


@exchanging
def test_what_killed_processes_left_is_swept_and_what_living_ones_fill_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        # In a container a process has the same small number at every start: a leftover with ours is not ours.
        for owner in (dead.pid, os.getpid(), living.pid):
            (tmp_path / f".artifact.partial-{owner}-0").mkdir()
        (tmp_path / ".artifact.partial-of-somebody").mkdir()
        with replace_directory(tmp_path / "artifact") as folder:
            fill(folder, 1)
        assert living.stdin is not None
        living.stdin.close()
    kept = {f".artifact.partial-{living.pid}-0", ".artifact.partial-of-somebody"}
    assert listing(tmp_path) == {"artifact", *kept}


def test_two_replacements_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    with replace_directory(path) as first:
        fill(first, 1)
        with replace_directory(path) as second:
            fill(second, 2)
        assert generation_of(path) == 2
        assert generation_of(first) == 1
    assert generation_of(path) == 1
    assert listing(tmp_path) == {"artifact"}


@exchanging
def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    """`build/current -> build/v1`: the folder behind the link is replaced, the link is not."""
    (tmp_path / "v1").mkdir()
    fill(tmp_path / "v1", 1)
    (tmp_path / "current").symlink_to("v1")
    with replace_directory(tmp_path / "current") as folder:
        fill(folder, 2)
    assert (tmp_path / "current").is_symlink()
    assert generation_of(tmp_path / "v1") == 2
    assert listing(tmp_path) == {"v1", "current"}


def test_everything_is_on_disk_before_it_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a rename may have survived the data it names, unless the data was flushed first."""
    events: list[str] = []
    put, sync = files._put_in_place, files.sync
    monkeypatch.setattr(files, "sync", lambda p: (events.append(p.name), sync(p)))
    monkeypatch.setattr(files, "_put_in_place", lambda new, path: (events.append("put in place"), put(new, path)))
    with replace_directory(tmp_path / "artifact") as folder:
        fill(folder, 1)
        name = folder.name
    before, after = events[: events.index("put in place")], events[events.index("put in place") + 1 :]
    assert set(before) == {"manifest.json", "model.onnx", "parts", "weights.bin", name}
    assert after == [tmp_path.name]


REPLACE_FOREVER = """
import sys
from pathlib import Path
from edgefer.files import replace_directory
generation = int(sys.argv[2])
while True:
    with replace_directory(Path(sys.argv[1])) as folder:
        for name in ("manifest.json", "model.onnx", "parts/weights.bin"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"%d\\n" % generation * 500)
    generation += 1
    print(generation, flush=True)
"""


@exchanging
def test_kill_9_at_any_moment_leaves_a_whole_folder(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    moments = random.Random(0)
    generation, leftovers = 0, 0
    for _ in range(25):
        command = [sys.executable, "-c", REPLACE_FOREVER, os.fspath(path), str(generation)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it is in its loop
            time.sleep(moments.uniform(0, 0.03))
            process.kill()  # SIGKILL
        reached = generation_of(path)
        assert reached >= generation  # never back to an older one
        generation = reached + 1
        leftovers += len(listing(tmp_path)) - 1
    assert leftovers, "no kill fell into a replacement: the moments were not random"
    with replace_directory(path) as folder:
        fill(folder, 7)
    assert generation_of(path) == 7
    assert listing(tmp_path) == {"artifact"}


@exchanging
def test_a_reader_never_finds_the_folder_missing_or_mixed(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    with replace_directory(path) as folder:
        fill(folder, 0)
    done = threading.Event()

    def write() -> None:
        try:
            for generation in range(1, 120):
                with replace_directory(path) as folder:
                    fill(folder, generation)
        finally:
            done.set()

    def identity() -> tuple[int, int, int]:
        state = path.stat()  # fails if the folder is missing
        return state.st_ino, state.st_mtime_ns, state.st_ctime_ns

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    while not done.is_set():
        before = identity()
        try:
            generation = generation_of(path)
        except (AssertionError, FileNotFoundError):
            assert identity() != before, "the folder itself was mixed"  # else: exchanged while we were reading it
            continue
        seen.append(generation)
    writer.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the reader never met a replacement"
    assert generation_of(path) == 119
