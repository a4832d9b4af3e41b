"""The registry's options: declared once, checked before anything is built."""

from __future__ import annotations

import pytest

from edgefer.errors import UsageError
from edgefer.export import targets
from edgefer.export.targets import TARGETS, Option, Target, all_options, check_options

UNITS = Option("units", str, "Where to run", ("cpu", "gpu"))
LEVEL = Option("level", int, "How hard to try")


@pytest.fixture
def two_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        targets,
        "TARGETS",
        {
            "abacus": Target("m", (), "x", options=(UNITS, LEVEL)),
            "slide-rule": Target("m", (), "x", options=(LEVEL,)),
        },
    )


@pytest.mark.usefixtures("two_targets")
@pytest.mark.parametrize(
    ("target", "given", "message", "hint"),
    [
        ("abacus", {"units": "npu"}, "--units npu", "cpu, gpu"),
        ("abacus", {"level": "3"}, "level is '3'", "a int"),
        ("abacus", {"level": True}, "level is True", "a int"),
        ("slide-rule", {"units": "cpu"}, "slide-rule takes no option units", "an option of abacus"),
        ("slide-rule", {"colour": "red"}, "takes no option colour", "leave it out"),
    ],
)
def test_refusals(target: str, given: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_options(target, given)
    assert hint in caught.value.hint


@pytest.mark.usefixtures("two_targets")
def test_what_is_declared_is_taken() -> None:
    check_options("abacus", {"units": "gpu", "level": 3})
    assert {name: names for name, (_, names) in all_options().items()} == {
        "units": ["abacus"],
        "level": ["abacus", "slide-rule"],
    }


def test_targets_that_share_a_name_share_the_option() -> None:
    """One flag cannot mean two things."""
    for target, row in TARGETS.items():
        for option in row.options:
            assert all_options()[option.name][0] is option, f"{target} declares its own {option.flag}"
            assert option.name.isidentifier()
