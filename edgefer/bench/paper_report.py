"""The paper's table for readers: Markdown, a picture, a page, and the folder that `--paper --out` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.bench import report
from edgefer.bench.candidates import BOUNDARIES
from edgefer.bench.look import Look, panels, save
from edgefer.bench.page import machine, page, picture_element, table_element
from edgefer.bench.paper import findings, tabulate
from edgefer.bench.pictures import Picture
from edgefer.bench.report import METHOD, about, pipes, samples, title
from edgefer.bench.runs import Run
from edgefer.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "ResEmoteNet's inference times: the paper's, and ours"
CAPTION = (
    "The paper's time for each data set, and ours at three boundaries: medians with 95 % intervals. compute and host "
    "see the same 64x64 input whatever the data set; end_to_end decodes and resizes the data set's own image."
)


def notes(results: Mapping[str, Any]) -> list[str]:
    """What the paper leaves open, and what the figures show."""
    found = results["paper"]
    open_points = "; ".join(f"{what}: {meaning}" for what, meaning in found["not_stated"].items())
    said = [f"The paper does not state {open_points}. Its times and ours are therefore shown together, not compared."]
    for model, values in found["models"].items():
        said += findings(model, values)
    return said


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Everything that a reader must know before believing the figures, by network."""
    models = results["paper"]["models"]
    return report.remarks(
        results, [f"{model}, {title(run)}" for model, run in zip(models, results["runs"], strict=True)]
    )


def markdown(results: Mapping[str, Any], picture: str) -> str:
    """The whole result as Markdown; `picture` is the file name of the picture beside it."""
    plan = results["runs"][0]["plan"]
    threads = f"{plan['threads']} thread{'s' if plan['threads'] != 1 else ''}"
    lines = [f"# {TITLE}", "", about(results), ""]
    lines += [f"Batch 1, {threads}, ONNX Runtime, fp32. {_boundaries()}", ""]
    for model, found in results["paper"]["models"].items():
        lines += [f"## {model}", "", *pipes(*tabulate(found)), ""]
    lines += [f"![the paper's times and ours]({picture})", "", "## What it shows", ""]
    lines += [f"- {text}" for text in notes(results)]
    said = remarks(results)
    if said:
        lines += ["", "## Remarks", "", *(f"- {text}" for text in said)]
    return "\n".join([*lines, "", "## Method", "", METHOD, _images(), ""])


def html(results: Mapping[str, Any], picture: Picture) -> str:
    """The same as one page that needs nothing else."""
    before, command, after = about(results).split("`", 2)
    parts = [
        f"<h1>{escape(TITLE)}</h1>",
        f'<p class="note">{escape(before)}<code>{escape(command)}</code>{escape(after)}</p>',
    ]
    said = remarks(results)
    if said:
        items = "".join(f"<li>{escape(text)}</li>" for text in said)
        parts.append(f'<div class="warn"><strong>Before you believe it</strong><ul>{items}</ul></div>')
    for model, found in results["paper"]["models"].items():
        parts += [f"<h2>{escape(model)}</h2>", table_element(tabulate(found))]
    parts += [f"<h2>{escape(picture.title)}</h2>", picture_element(picture), "<h2>What it shows</h2>"]
    parts.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in notes(results))}</ul>")
    parts += ["<h2>How it was measured</h2>", f"<p>{escape(METHOD)} {escape(_images())}</p>"]
    parts += [f"<p>{escape(_boundaries())}</p>", "<h2>Machine</h2>", machine(results)]
    return page(TITLE, "\n".join(parts))


def draw(results: Mapping[str, Any], folder: Path, stem: str = "paper") -> Picture:
    """Draw the table: a panel a model.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    names = [*BOUNDARIES, "paper"]
    light, dark = save(folder, stem, names, lambda look: _draw(results["paper"]["models"], look, names))
    return Picture("The paper's times and ours", CAPTION, light, dark)


def _draw(models: Mapping[str, Any], look: Look, names: Sequence[str]) -> Figure:
    from matplotlib.lines import Line2D

    figure, axes = panels(1, len(models), 5.2 if len(models) > 1 else 8.0, 3.8)
    for place, (model, found) in zip(axes[0], models.items(), strict=True):
        for at, row in enumerate(found["rows"]):
            for shift, boundary in enumerate(BOUNDARIES):
                one, x = row[f"{boundary}_ms"], at + (shift - 1) * 0.17
                color = look.color[boundary]
                if one["low"] is not None:
                    place.plot([x, x], [one["low"], one["high"]], color=color, lw=2)
                place.plot(x, one["value"], look.marker[boundary], color=color, ms=6.5, mew=0)
            place.plot([at - 0.3, at + 0.3], [row["paper_ms"]] * 2, color=look.ink, lw=2.2)
        labels = [f"{row['dataset']}\n{row['images'].replace(' ', chr(10), 1)}" for row in found["rows"]]
        place.set_xticks(range(len(labels)), labels)
        place.set_ylim(bottom=0)
        place.set_ylabel("one image, ms")
        place.set_title(f"{model}, batch 1")
        place.grid(visible=False, axis="x")
    handles: list[Any] = [
        Line2D([], [], color=look.color[name], marker=look.marker[name], linestyle="none", label=f"ours, {name}")
        for name in names[:-1]
    ]
    handles.append(Line2D([], [], color=look.ink, lw=2.2, label="the paper (device and boundary not stated)"))
    figure.legend(handles=handles, loc="outside upper left", ncols=2 if len(models) == 1 else 4, fontsize=9)
    return figure


def write(folder: Path, results: Mapping[str, Any], runs: Sequence[Run]) -> list[Path]:
    """Write results.json, samples.jsonl, paper.md, paper.png and report.html into `folder`; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw(results, folder)
    texts = {
        "results.json": json.dumps(results, indent=1) + "\n",
        "samples.jsonl": "".join(samples(runs)),
        "paper.md": markdown(results, picture.light.name),
        "report.html": html(results, picture),
    }
    for name, text in texts.items():
        with replace_file(folder / name) as partial:
            partial.write_text(text, "utf-8")
    return [*(folder / name for name in texts), picture.light, picture.dark]


def _boundaries() -> str:
    return " ".join(f"{name}: {meaning}." for name, meaning in BOUNDARIES.items())


def _images() -> str:
    return (
        "The images are drawn faces of each data set's size, encoded as the set is (PNG without loss for FER2013's "
        "pixel values, JPEG of quality 90 for the others). Weights do not change the time; where no checkpoint is "
        "named they are seeded."
    )
