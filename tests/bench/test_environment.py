"""The machine, read from files as Linux writes them, and from a nvidia-smi that is a script."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgefer.bench import environment

CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
cpu MHz\t\t: 1995.312
cache size\t: 49152 KB
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2 avx2 fma avx512f avx512_vnni hypervisor

processor\t: 1
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse2 avx2 fma

processor\t: 2
physical id\t: 0
core id\t\t: 1
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty /proc and /sys."""
    monkeypatch.setattr(environment, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(environment, "_SYS", tmp_path / "sys")
    monkeypatch.setattr(environment, "_sysctl", lambda name: None)
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_processor(machine: Path) -> None:
    put(machine / "proc/cpuinfo", CPUINFO)
    put(machine / "proc/meminfo", "MemTotal:       24683656 kB\nMemFree: 1 kB\n")
    put(machine / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
    put(machine / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3200000\n")
    found = environment.cpu()
    assert found["model"] == "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"
    assert (found["physical"], found["governor"], found["cache"]) == (2, "performance", "49152 KB")
    assert found["flags"] == ["avx2", "fma", "avx512f", "avx512_vnni"]
    assert environment.memory_bytes() == 24683656 * 1024
    assert environment.current_mhz() == 3200


def test_nothing_is_guessed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("platform.processor", lambda: "")
    found = environment.cpu()
    assert (found["model"], found["physical"], found["governor"], found["flags"]) == (None, None, None, [])
    assert environment.memory_bytes() is None
    assert environment.current_mhz() is None
    assert environment.virtualised() is None
    assert environment.cgroup_limits() == {"cpus": None, "memory_bytes": None}
    assert environment.gpus() == []
    assert environment.git_commit(machine) is None
    assert environment.default_threads() >= 1


def test_limits_of_both_kinds_of_cgroup(machine: Path) -> None:
    put(machine / "proc/self/cgroup", "0::/pod/one\n")
    put(machine / "sys/fs/cgroup/pod/one/cpu.max", "150000 100000\n")
    put(machine / "sys/fs/cgroup/pod/cpu.max", "max 100000\n")
    put(machine / "sys/fs/cgroup/pod/memory.max", "2147483648\n")
    put(machine / "sys/fs/cgroup/pod/one/memory.max", "max\n")
    assert environment.cgroup_limits() == {"cpus": 1.5, "memory_bytes": 2147483648}
    assert environment.default_threads() == 1
    put(machine / "proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/a\n0::/\n")
    put(machine / "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "50000\n")
    put(machine / "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
    put(machine / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    put(machine / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    put(machine / "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n")
    put(machine / "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert environment.cgroup_limits() == {"cpus": 0.5, "memory_bytes": 1000000}


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "nvidia-smi"
    row = '"NVIDIA L4", 570.86, 23034 MiB, 210 MHz, 405 MHz, 2040 MHz, 12.5 W, 72.00 W, 35, Enabled'
    script.write_text(f"#!/bin/sh\necho '{row}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (gpu,) = environment.gpus()
    assert (gpu["name"], gpu["driver_version"], gpu["power.limit"]) == ("NVIDIA L4", "570.86", "72.00 W")
    script.write_text("#!/bin/sh\nexit 9\n")
    assert environment.gpus() == []


def test_the_commit_only_where_the_folder_is_tracked(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init")
    package = tmp_path / "package"
    put(package / "__init__.py", "")
    put(tmp_path / "other.txt", "")
    git("add", "other.txt")
    git("commit", "-m", "one")
    assert environment.git_commit(package) is None  # installed below somebody's repository
    git("add", ".")
    git("commit", "-m", "two")
    commit = git("rev-parse", "HEAD")
    assert environment.git_commit(package) == commit[:12]
    put(tmp_path / "benchmarks" / "results" / "new.json", "{}")
    put(tmp_path / "README.md", "")
    git("add", ".")
    assert environment.git_commit(package) == commit[:12]  # results and pages are no code
    (tmp_path / "other.txt").write_text("changed")
    assert environment.git_commit(package) == f"{commit[:12]}-dirty"


def test_what_others_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """900 ticks between two looks, 225 of them idle, 225 waiting for disks: half of the CPUs are busy."""
    monkeypatch.setattr(environment, "_PROC", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert environment.busy_cpus(0) is None
    looks = iter(["cpu  100 0 0 1000 0 0 0 0 0 0\ncpu0 1", "cpu  300 50 100 1225 225 40 30 30 7 0\ncpu0 1"])
    monkeypatch.setattr(environment, "_read", lambda path: next(looks))
    assert environment.busy_cpus(0) == pytest.approx(2)


def test_this_machine_can_be_described() -> None:
    found = environment.record()
    json.dumps(found)
    told = datetime.datetime.fromisoformat(found["time_utc"])
    assert told.utcoffset() == datetime.timedelta(0)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - told).total_seconds()) < 60
    assert found["packages"]["numpy"]
    assert found["cpu"]["logical"] == os.cpu_count()
    line = environment.describe(found)
    assert f"{found['cpu']['usable']} CPUs" in line
    assert "onnxruntime" in line
    assert set(environment.moment()) == {"busy_cpus", "load", "mhz", "gpu"}
    if sys.platform == "linux":
        assert found["memory_bytes"] > 1e8


def test_a_name_for_files() -> None:
    about = {"cpu": {"model": "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", "architecture": "x86_64", "usable": 8}}
    assert environment.machine_name({**about, "gpu": []}) == "intel-xeon-gold-6338-8c"
    assert environment.machine_name({**about, "gpu": [{"name": "NVIDIA L4"}]}) == "intel-xeon-gold-6338-8c-nvidia-l4"
    bare = {"cpu": {"model": None, "architecture": "aarch64", "usable": 4}, "gpu": []}
    assert environment.machine_name(bare) == "aarch64-4c"
