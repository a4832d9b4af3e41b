"""The shared pieces of the commands: batch sizes, tables, the arguments of predict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgefer.cli.common import Output, ProofFailedError, differing_table, fail, parse_batch, probe, split_artifact
from edgefer.errors import ImageError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("1", (1,)), ("32", (32,)), ("1:8:32", (1, 8, 32)), ("4:4:4", (4, 4, 4))]
)
def test_batch_forms(text: str | None, expected: tuple[int, ...] | None) -> None:
    assert parse_batch(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "a", "1.5", "1:8", "1:2:3:4", "8:1:32", "1:32:8", "0:1:2", "1::8", "1,8"]
)
def test_batch_forms_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_batch(text)
    assert f"--batch {text} cannot be" in str(caught.value)
    assert "1:8:32" in caught.value.hint


def test_the_artifact_of_predict_is_optional(tmp_path: Path) -> None:
    assert split_artifact(["face.jpg"], "IMAGE") == (None, "face.jpg")
    assert split_artifact(["build/fer", "face.jpg"], "IMAGE") == ("build/fer", "face.jpg")
    for wrong in ([], ["a", "b", "c"]):
        with pytest.raises(UsageError):
            split_artifact(wrong, "IMAGE")
    (tmp_path / "manifest.json").touch()
    with pytest.raises(UsageError, match="is an artifact"):  # the picture was forgotten
        split_artifact([str(tmp_path)], "IMAGE")


def test_output_goes_to_stdout_or_with_json_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        output = Output(as_json)
        output.line("step", "[bold]what[/bold] :x: " + "long " * 60)
        output.text("text")
        output.result({"answer": 42})
        out, err = capsys.readouterr()
        lines = ["step         [bold]what[/bold] :x: " + "long " * 60, "text"]  # neither markup nor wrapped
        assert (err if as_json else out).splitlines() == lines
        assert (out if as_json else err) == (json.dumps({"answer": 42}, indent=2) + "\n" if as_json else "")


def test_tables_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    Output(False).table(["image", "p", "what"], [["a.png", "0.9", "yes"], ["long name", "12.25", ""]])
    assert capsys.readouterr().out.splitlines() == [
        "image          p  what",
        "a.png        0.9  yes",
        "long name  12.25",
    ]
    Output(False).table(["image"], [])
    assert capsys.readouterr().out == "image\n"


def test_long_tables_of_differences_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"image": "x.png", "reference": "fear", "candidate": "anger", "max_delta": 0.5}
    row |= {"reference_confidence": 0.9, "candidate_confidence": 0.6}
    differing_table(Output(False), [row] * 23)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[1].split() == ["x.png", "fear", "0.900", "anger", "0.600", "5.0e-01"]
    assert lines[-1] == "... and 3 more"


def test_bars_and_spinners_are_silent_in_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(False)
    with output.working("loading"), output.bar("predict") as bar:
        for i in range(5):
            bar(i, 5)
            bar(i, None)
    assert capsys.readouterr() == ("", "")


def test_failures_print_their_figures_only_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    error = ProofFailedError("differs.", "export again.", {"images": 3})
    assert error.exit_code == 5
    assert fail(str(error), error.hint, 5, False, error.figures) == 5
    assert capsys.readouterr() == ("", "error: differs.\nhint:  export again.\n")
    assert fail(str(error), error.hint, 5, True, error.figures) == 5
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {"error": "differs.", "hint": "export again.", "exit_code": 5, "images": 3}


def test_the_probe_is_rendered_or_read(photos: Path, tmp_path: Path) -> None:
    rendered = probe(None)
    assert len(rendered.images) == 10
    assert rendered.source == "10 rendered faces, seed 0"
    assert sorted(name for name, _ in probe(photos).images) == sorted(
        p.relative_to(photos).as_posix() for p in photos.rglob("*") if p.suffix in (".png", ".jpg")
    )
    with pytest.raises(ImageError, match="holds no images"):
        probe(tmp_path)
