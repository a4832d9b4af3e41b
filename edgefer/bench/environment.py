"""The machine that figures were taken on, as far as it can be told; what cannot is None, never guessed.

Neither the machine's name nor a path is recorded: results are published.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import edgefer
from edgefer.optional import version

PACKAGES = (
    "numpy",
    "cv2",
    "onnxruntime",
    "torch",
    "onnx",
    "tensorrt",
    "tensorrt_rtx",
    "coremltools",
)
ENGINES = ("onnxruntime", "torch", "tensorrt", "tensorrt_rtx", "coremltools")
# Instruction sets that decide which kernels an engine picks.
FLAGS = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
GPU_FIELDS = (
    "name",
    "driver_version",
    "memory.total",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "power.draw",
    "power.limit",
    "temperature.gpu",
    "persistence_mode",
)
# What may differ from the commit without anything running differently: pages, and the results themselves.
NO_CODE = (":(top,exclude)*.md", ":(top,exclude)benchmarks/results")
_SYS, _PROC = Path("/sys"), Path("/proc")


def record() -> dict[str, Any]:
    """Everything that does not change while a benchmark runs, and the UTC time."""
    return {
        "time_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "edgefer": edgefer.__version__,
        "git": git_commit(Path(edgefer.__file__).parent),
        "cpu": cpu(),
        "memory_bytes": memory_bytes(),
        "virtualised": virtualised(),
        "cgroup": cgroup_limits(),
        "gpu": gpus(),
        "packages": {name: found for name in PACKAGES if (found := version(name))},
    }


def moment() -> dict[str, Any]:
    """What changes while a benchmark runs: taken before and after it."""
    return {
        "busy_cpus": busy_cpus(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "mhz": current_mhz(),
        "gpu": gpus(),
    }


def busy_cpus(seconds: float = 0.25) -> float | None:
    """How many CPUs others keep busy while this process sleeps; None where the system does not tell (only Linux does).

    Unlike the load average it forgets at once what has ended, such as the run before this one.
    """

    def read() -> tuple[int, int] | None:
        line = (_read(_PROC / "stat") or "").partition("\n")[0].split()
        ticks = [int(word) for word in line[1:9]]  # user nice system idle iowait irq softirq steal
        return (sum(ticks), ticks[3] + ticks[4]) if len(ticks) == 8 else None

    before = read()
    time.sleep(seconds if before else 0)
    after = read()
    if before is None or after is None or after[0] <= before[0]:
        return None
    idle = (after[1] - before[1]) / (after[0] - before[0])
    return (1 - idle) * (os.cpu_count() or 1)


def cpu() -> dict[str, Any]:
    """Model, cores, instruction sets, cache and governor."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "model": info.get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or None,
        "architecture": platform.machine(),
        "logical": os.cpu_count(),
        "usable": usable_cpus(),
        "physical": physical_cores(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "cache": info.get("cache size"),
        "governor": _read(_SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "boost": _read(_SYS / "devices/system/cpu/cpufreq/boost"),
    }


def usable_cpus() -> int | None:
    """CPUs that this process may run on; fewer than there are in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def physical_cores() -> int | None:
    """Cores without hyper-threads; None where the system does not tell."""
    cores: set[tuple[str, str]] = set()
    for block in (_read(_PROC / "cpuinfo") or "").split("\n\n"):
        values = _pairs(block)
        if "core id" in values:
            cores.add((values.get("physical id", "0"), values["core id"]))
    if cores:
        return len(cores)
    counted = _sysctl("hw.physicalcpu")
    return int(counted) if counted else None


def default_threads() -> int:
    """As many threads as physical cores that this process may use, within a container's limit."""
    usable = usable_cpus() or 1
    limit = cgroup_limits()["cpus"] or usable
    return max(1, min(usable, physical_cores() or usable, int(limit)))


def current_mhz() -> float | None:
    """Clock of the first core now."""
    found = _read(_SYS / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    if found:
        return int(found) / 1e3
    found = _cpuinfo().get("cpu MHz")
    return float(found) if found else None


def memory_bytes() -> int | None:
    """Memory of the machine."""
    found = _pairs(_read(_PROC / "meminfo") or "").get("MemTotal") or _sysctl("hw.memsize")
    if not found:
        return None
    number, *unit = found.split()
    return int(number) * (1024 if unit else 1)


def virtualised() -> str | None:
    """What kind of virtual machine and container this is: "kvm, docker"; "none" on bare metal."""
    if shutil.which("systemd-detect-virt"):
        kinds = [_output(["systemd-detect-virt", option], codes=(0, 1)) for option in ("--vm", "--container")]
        named = [kind for kind in kinds if kind and kind != "none"]
        return ", ".join(named) or "none"
    if "hypervisor" in _cpuinfo().get("flags", "").split():
        return "virtual machine"
    return None


def cgroup_limits() -> dict[str, Any]:
    """Limits that a container sets, over all groups this process is in: CPUs it may use at once, and bytes."""
    groups = [line.split(":", 2) for line in (_read(_PROC / "self/cgroup") or "").splitlines()]
    cpus: list[float] = []
    memory: list[int] = []
    for _, controllers, path in groups:
        names = controllers.split(",")
        unified = controllers == ""
        for place in _cgroup_folders(controllers, path):
            quota = (_read(place / "cpu.max") or "").split() if unified else []
            if not unified and "cpu" in names:
                quota = [_read(place / f"cpu.cfs_{what}_us") or "" for what in ("quota", "period")]
            if len(quota) == 2 and all(part.isdigit() for part in quota):
                cpus.append(int(quota[0]) / int(quota[1]))
            limit = _read(place / ("memory.max" if unified else "memory.limit_in_bytes")) or ""
            if limit.isdigit() and int(limit) < 1 << 60:  # version 1 writes a huge number for "none"
                memory.append(int(limit))
    return {"cpus": min(cpus, default=None), "memory_bytes": min(memory, default=None)}


def _cgroup_folders(controllers: str, path: str) -> list[Path]:
    """The group's folder and those above it: the tightest limit counts. In a container only the top may be mounted."""
    root = _SYS / "fs/cgroup" / controllers.removeprefix("name=")
    here = root / path.lstrip("/")
    folders = [root]
    while here != root and root in here.parents:
        folders.append(here)
        here = here.parent
    return folders


def gpus() -> list[dict[str, str]]:
    """Each NVIDIA GPU as `nvidia-smi` describes it; empty where there is none."""
    if not shutil.which("nvidia-smi"):
        return []
    text = _output(["nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader"])
    rows = csv.reader(io.StringIO(text or ""), skipinitialspace=True)
    return [dict(zip(GPU_FIELDS, row, strict=True)) for row in rows if len(row) == len(GPU_FIELDS)]


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout that the package runs from, with "-dirty" if code or weights differ; None outside."""
    if not shutil.which("git"):
        return None
    # An installed package may lie in somebody else's repository (a .venv in a project): it is not tracked there.
    if not _output(["git", "-C", str(folder), "ls-files", "--error-unmatch", "__init__.py"]):
        return None
    commit = _output(["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"])
    changed = _output(["git", "-C", str(folder), "diff", "--name-only", "HEAD", "--", ":/", *NO_CODE])
    return f"{commit}-dirty" if commit and changed else commit


def describe(environment: Mapping[str, Any]) -> str:
    """One line: "AMD EPYC, 2 CPUs (2 cores), kvm, Linux 6.1; onnxruntime 1.32.0"."""
    about = environment["cpu"]
    cores = f" ({about['physical']} cores)" if about["physical"] else ""
    parts = [f"{about['model'] or about['architecture']}, {about['usable']} CPUs{cores}"]
    parts += [gpu["name"] for gpu in environment["gpu"]]
    if environment["virtualised"] not in (None, "none"):
        parts.append(environment["virtualised"])
    parts.append(environment["system"])
    engines = [f"{name} {environment['packages'][name]}" for name in ENGINES if name in environment["packages"]]
    return f"{', '.join(parts)}; {', '.join(engines)}" if engines else ", ".join(parts)


def machine_name(environment: Mapping[str, Any]) -> str:
    """A short name for files, from what the machine is: "amd-epyc-2c"."""
    model = environment["cpu"]["model"] or environment["cpu"]["architecture"] or "machine"
    for noise in ("(R)", "(TM)", "CPU", "Processor", "processor"):
        model = model.replace(noise, " ")
    words = [word for word in model.split("@")[0].lower().split() if word]
    kept = ["".join(c for c in word if c.isalnum() or c == "-") for word in words]
    gpu = [entry["name"].lower().replace(" ", "-") for entry in environment["gpu"][:1]]
    return "-".join([*filter(None, kept), f"{environment['cpu']['usable']}c", *gpu])


def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first CPU."""
    return _pairs((_read(_PROC / "cpuinfo") or "").split("\n\n")[0])


def _pairs(text: str) -> dict[str, str]:
    split = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in split if colon}


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return None


def _sysctl(name: str) -> str | None:
    return _output(["sysctl", "-n", name]) if sys.platform == "darwin" else None


def _output(command: list[str], codes: tuple[int, ...] = (0,)) -> str | None:
    """What a command prints, or None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode in codes else None
