"""Progress of a build, and a way to stop it: TensorRT calls back at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def make_monitor(trt: Any, progress: Callable[[int, int], None]) -> Any:
    """A progress monitor that reports the steps of the outermost phase.

    An exception in `progress`, Ctrl-C included, must not pass through C++: it stops the build, and is kept in
    `interrupted` for the caller to raise.
    """

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.outermost: dict[str, int] = {}
            self.interrupted: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self.outermost[phase_name] = num_steps

        def phase_finish(self, phase_name: str) -> None:
            self.outermost.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                if phase_name in self.outermost:
                    progress(step + 1, self.outermost[phase_name])
            except BaseException as error:
                self.interrupted = error
            return self.interrupted is None

    return Monitor()
