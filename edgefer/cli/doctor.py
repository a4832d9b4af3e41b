"""`edgefer doctor`: what can be built and run on this machine, and how to get the rest."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from typing import Any

import cv2
import numpy as np

import edgefer
from edgefer.cli.common import Debug, Json, Output
from edgefer.errors import UnavailableError
from edgefer.export.targets import TARGETS
from edgefer.optional import installed, version
from edgefer.runtime.engines import ENGINES, Row

NAME = "doctor"


def command(json: Json = False, debug: Debug = False) -> None:
    """Tell which targets can be built and run here, and the exact command that adds each missing one."""
    output = Output(json)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    output.line("edgefer", f"{edgefer.__version__}, numpy {np.__version__}, OpenCV {cv2.__version__}")
    output.line("machine", machine)
    rows: list[dict[str, Any]] = []
    for target in dict.fromkeys((*TARGETS, *ENGINES)):
        rows.append(_check(target, "build", TARGETS.get(target)))
        rows.append(_check(target, "run", ENGINES.get(target)))
    output.table(
        ["target", "", "here", "with"],
        [[row["target"], row["what"], "yes" if row["ok"] else "no", row["detail"]] for row in rows],
    )
    providers = _providers()
    if providers:
        output.line("providers", f"ONNX Runtime can use {', '.join(providers)}")
    for extra in sorted({row["extra"] for row in rows if not row["ok"] and row["extra"]}):
        output.line("add", f'pip install "edgefer[{extra}]"')
    output.result(
        {"edgefer": edgefer.__version__, "machine": machine, "targets": rows, "onnxruntime_providers": providers}
    )


def _check(target: str, what: str, row: Row | None) -> dict[str, Any]:
    if row is None:
        return {"target": target, "what": what, "ok": False, "detail": "not part of this version", "extra": None}
    if row.elsewhere:
        return {"target": target, "what": what, "ok": False, "detail": f"only on {row.elsewhere}", "extra": None}
    missing = [module for module in row.needs if not installed(module)]
    detail = ", ".join(f"{module} {version(module)}" for module in row.needs if module not in missing)
    if missing:
        detail = f"missing {', '.join(missing)}"
        return {"target": target, "what": what, "ok": False, "detail": detail, "extra": row.extra}
    try:
        _check_machine(row)
    except UnavailableError as error:
        return {"target": target, "what": what, "ok": False, "detail": str(error), "extra": None}
    return {"target": target, "what": what, "ok": True, "detail": detail, "extra": row.extra}


def _check_machine(row: Row) -> None:
    """Ask for the hardware that a row needs, once its packages are there."""
    if row.machine:
        module, function = row.machine.split(":")
        getattr(import_module(module), function)()


def _providers() -> list[str]:
    if not installed("onnxruntime"):
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())
