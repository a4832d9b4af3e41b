from __future__ import annotations

import sys

import pytest

from edgefer.train import machine


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_glibc_takes_both_settings() -> None:
    assert machine.keep_freed_memory() in (True, False)


def test_elsewhere_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: pytest.fail("looked for mallopt"))
    assert machine.keep_freed_memory() is False


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())
    assert machine.keep_freed_memory() is False
