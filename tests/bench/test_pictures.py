"""Pictures that can be read: drawn for both kinds of page, with every sample, and units on every axis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgefer.bench import environment, pictures
from edgefer.bench.look import Look, plain_log, save
from edgefer.bench.pictures import Subject
from edgefer.bench.results import results
from edgefer.bench.runs import Plan, Run
from edgefer.errors import UnavailableError
from edgefer.imageset import ImageSet
from tests.bench.conftest import measured


def subject(*runs: Run) -> Subject:
    found = results(list(runs), environment.record(), environment.moment(), environment.moment(), "edgefer bench")
    return Subject(found, list(runs))


@pytest.fixture
def two_runs(steady_run: Run) -> Subject:
    """The same candidates in two settings."""
    return subject(steady_run, replace(steady_run, plan=Plan(batch=8)))


def test_light_and_dark(two_runs: Subject, tmp_path: Path) -> None:
    drawn = pictures.draw(two_runs.results, two_runs.runs, tmp_path)
    assert [picture.light.stem for picture in drawn] == ["latency", "time", "ratio", "tradeoff"]
    for picture in drawn:
        light, dark = (cv2.imread(str(path)) for path in (picture.light, picture.dark))
        assert light.shape == dark.shape
        assert light[0, 0].min() == 255
        assert dark[0, 0].max() < 40
        assert light.std() > 5  # not empty
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for picture in drawn for path in (picture.light, picture.dark)
    )


def test_one_candidate_has_nothing_to_compare(pool: ImageSet, tmp_path: Path) -> None:
    alone = subject(Run(Plan(), pool, (measured("a", [[1.0, 2.0]] * 6),)))
    drawn = pictures.draw(alone.results, alone.runs, tmp_path)
    assert [picture.light.stem for picture in drawn] == ["latency", "time"]


@pytest.mark.parametrize("kind", [pictures.distribution, pictures.over_time, pictures.ratios, pictures.tradeoff])
def test_axes_have_units_and_ticks(kind: Any, two_runs: Subject) -> None:
    figure = kind(two_runs, Look("light", two_runs.names))
    for place in figure.axes:
        labels = f"{place.get_xlabel()} {place.get_ylabel()}"
        assert any(unit in labels for unit in ("ms", "times faster"))
        for axis in (place.xaxis, place.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [tick for tick in axis.get_major_locator()() if low <= tick <= high]
            assert shown, kind.__name__


def test_no_sample_is_cut_off(pool: ImageSet) -> None:
    rounds = [[1.0, 2.0, 3.0]] * 7 + [[500.0]]
    whole = subject(Run(Plan(), pool, (measured("a", rounds),)))
    figure = pictures.distribution(whole, Look("light", ["a"]))
    (line,) = figure.axes[0].get_lines()
    assert sorted(line.get_xdata()) == sorted(value for one in rounds for value in one)
    assert figure.axes[0].get_xlim()[1] > 500
    figure = pictures.over_time(whole, Look("light", ["a"]))
    dots, *medians = figure.axes[0].get_lines()
    assert len(dots.get_xdata()) == 22
    assert len(medians) == 6  # a line a process
    assert [float(value) for line in medians for value in line.get_ydata()] == [2.0] * 7 + [500.0]


def test_an_interval_that_holds_one_is_hollow(pool: ImageSet) -> None:
    rng = np.random.default_rng(0)
    base = 10 + rng.standard_normal((12, 5))
    others = measured("same", 10 + rng.standard_normal((12, 5))), measured("twice", base / 2)
    found = subject(Run(Plan(), pool, (measured("base", base), *others)))
    place = pictures.ratios(found, Look("light", found.names)).axes[0]
    dots = [line for line in place.get_lines() if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() == dot.get_color() for dot in dots] == [False, True]
    assert [label.get_text() for label in place.get_yticklabels()] == ["same", "twice"]


def test_accuracy_where_everybody_has_one(pool: ImageSet) -> None:
    candidates = [measured(name, [[value] * 4] * 8, accuracy=value / 10) for name, value in (("a", 6.0), ("b", 7.0))]
    known = subject(Run(Plan(), pool, tuple(candidates)))
    place = pictures.tradeoff(known, Look("light", known.names)).axes[0]
    assert place.get_ylabel() == "accuracy, %"
    dots = [line for line in place.get_lines() if line.get_marker() in ("o", "s")]
    assert [(float(dot.get_xdata()[0]), float(dot.get_ydata()[0])) for dot in dots] == [(6, 60), (7, 70)]
    unknown = subject(Run(Plan(), pool, (candidates[0], measured("b", [[7.0] * 4] * 8))))
    assert "same label" in pictures.tradeoff(unknown, Look("light", unknown.names)).axes[0].get_ylabel()


def test_colours_differ_and_stay() -> None:
    names = [f"candidate {number}" for number in range(12)]
    for theme in ("light", "dark"):
        look = Look(theme, names)
        assert len({(look.color[name], look.dash[name]) for name in names}) == 12
        assert Look(theme, names[:3]).color == {name: look.color[name] for name in names[:3]}


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.3), (0.9, 5), (1, 40), (0.01, 900)])
def test_logarithmic_axes_have_plain_numbers(low: float, high: float) -> None:
    from matplotlib.figure import Figure

    place = Figure().add_subplot()
    place.set_xscale("log")
    place.set_xlim(low, high)
    plain_log(place.xaxis, low, high)
    shown = place.xaxis.get_major_locator()()
    assert 2 <= len(shown) <= 10
    assert all("e" not in place.xaxis.get_major_formatter()(tick, 0) for tick in shown)


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "matplotlib")
    with pytest.raises(UnavailableError) as caught:
        save(tmp_path, "a", [], lambda look: None)  # type: ignore[arg-type, return-value]
    assert caught.value.hint == 'pip install "edgefer[bench]"'
