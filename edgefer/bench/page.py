"""A report as one HTML file that needs nothing else: pictures inside, light or dark as the reader's system is."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from edgefer.bench.candidates import BOUNDARIES
from edgefer.bench.pictures import Picture
from edgefer.bench.report import METHOD, Table, about, costs, figure, headline, remarks, timing, title
from edgefer.bench.results import NO_DIFFERENCE

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --note: #59636e; --faint: #d8dee4; --tint: #f6f8fa;
  --good: #1a7f37; --bad: #b35900; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0d1117; --ink: #e6edf3; --note: #9198a1; --faint: #2f363d; --tint: #161b22;
    --good: #3fb950; --bad: #f0883e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .25rem; }
h2 + p { margin-top: 0; }
p { max-width: 46rem; margin: .5rem 0; }
.note, figcaption { color: var(--note); }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--tint);
  padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1rem; margin: .5rem 0 0; }
.label { font-weight: 600; margin: 1.75rem 0 0; }
.card { background: var(--tint); border: 1px solid var(--faint); border-radius: 10px; padding: .9rem 1.1rem; }
.card .name { color: var(--note); font-size: .85rem; line-height: 1.35; overflow-wrap: anywhere; }
.card .value { font-size: 1.7rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.35; }
.card .value small { font-size: .95rem; font-weight: 400; color: var(--note); }
.card .less { font-size: .85rem; color: var(--note); }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: right; padding: .42rem .6rem; border-bottom: 1px solid var(--faint); white-space: nowrap; }
th { color: var(--note); font-weight: 500; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td:first-child { font-weight: 500; }
figure { margin: 1.25rem 0 0; }
figure img { width: 100%; height: auto; display: block; border: 1px solid var(--faint); border-radius: 10px; }
figcaption { font-size: .9rem; margin-top: .5rem; max-width: 46rem; }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; max-width: 52rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; font-size: .92rem; margin: 1rem 0; }
dt { color: var(--note); } dd { margin: 0; overflow-wrap: anywhere; }
.warn { border-left: 3px solid var(--bad); padding: .1rem 0 .1rem 1rem; margin: 1.75rem 0 0; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--faint); color: var(--note);
  font-size: .85rem; }
@media print { main { padding: 0; } figure, .card { break-inside: avoid; } }
"""


def html(results: Mapping[str, Any], pictures: Sequence[Picture]) -> str:
    """The whole page."""
    parts = [f"<h1>{escape(headline(results))}</h1>", f'<p class="note">{_about(results)}</p>', _cards(results)]
    said = remarks(results)
    if said:
        items = "".join(f"<li>{escape(text)}</li>" for text in said)
        parts.append(f'<div class="warn"><strong>Before you believe it</strong><ul>{items}</ul></div>')
    for run in results["runs"]:
        parts.append(f"<h2>{escape(title(run))}</h2>")
        boundary = BOUNDARIES[run["plan"]["boundary"]]
        images = f"{run['images']['source']}."
        parts.append(f'<p class="note">{escape(boundary.capitalize())}. {escape(images)}</p>')
        parts += [table_element((["", *columns[1:]], rows)) for columns, rows in (timing(run), costs(run))]
    for picture in pictures:
        parts.append(f"<h2>{escape(picture.title)}</h2>{picture_element(picture)}")
    parts += ["<h2>How it was measured</h2>", f"<p>{escape(METHOD)}</p>", "<h2>Machine</h2>", machine(results)]
    parts.append(f"<footer>{escape(results['tool'])}, results schema {results['schema']}</footer>")
    return page(headline(results), "\n".join(parts))


def page(name: str, body: str) -> str:
    """A document with our style around `body`."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _about(results: Mapping[str, Any]) -> str:
    before, command, after = about(results).split("`", 2)
    return f"{escape(before)}<code>{escape(command)}</code>{escape(after)}"


def _cards(results: Mapping[str, Any]) -> str:
    """The first run's medians, large; what differs from the first candidate in words."""
    cards = []
    run = results["runs"][0]
    for found in run["candidates"]:
        p50, ratio = found["latency_ms"]["p50"], found["ratio"]
        if p50 is None:
            continue
        less = f"median of {found['n']:,} calls"
        if ratio is not None:
            times = f"{ratio['value']:.2f} times as fast" if ratio["verdict"] != NO_DIFFERENCE else NO_DIFFERENCE
            kind = {"faster": "good", "slower": "bad"}.get(ratio["verdict"], "")
            less = f'<span class="{kind}">{times}</span>'
        cards.append(
            f'<div class="card"><div class="name">{escape(found["name"])}</div>'
            f'<div class="value">{figure(p50["value"])} <small>ms</small></div><div class="less">{less}</div></div>'
        )
    return f'<p class="label">{escape(title(run))}</p><div class="cards">{"".join(cards)}</div>'


def table_element(table: Table) -> str:
    """A table that scrolls sideways where the page is narrow."""
    columns, rows = table
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def picture_element(picture: Picture) -> str:
    """The picture for either kind of page, inside the document, with its caption."""
    light, dark = (_embedded(path) for path in (picture.light, picture.dark))
    return (
        f'<figure><picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{escape(picture.title)}"></picture>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def machine(results: Mapping[str, Any]) -> str:
    """What is known of the machine, as a list of terms."""
    environment, before, after = (results[key] for key in ("environment", "before", "after"))
    cpu, limits = environment["cpu"], environment["cgroup"]
    facts = {
        "time": environment["time_utc"],
        "system": f"{environment['system']}, Python {environment['python']}",
        "processor": f"{cpu['model']}, {cpu['usable']} of {cpu['logical']} CPUs usable, {cpu['physical']} cores",
        "instruction sets": ", ".join(cpu["flags"]) or None,
        "clock": f"{before['mhz']:.0f} MHz before, {after['mhz']:.0f} MHz after" if before["mhz"] else None,
        "governor": cpu["governor"],
        "memory": f"{environment['memory_bytes'] / 1e9:.1f} GB" if environment["memory_bytes"] else None,
        "virtualised": environment["virtualised"],
        "limits": f"{limits['cpus']:g} CPUs" if limits["cpus"] else None,
        "used by others": None if before["busy_cpus"] is None else f"{before['busy_cpus']:.2f} CPUs before the run",
        "load": f"{before['load'][0]:.2f} before, {after['load'][0]:.2f} after" if before["load"] else None,
        "GPU": "; ".join(", ".join(gpu.values()) for gpu in environment["gpu"]) or None,
        "packages": ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
        "commit": environment["git"],
        "images": "; ".join(dict.fromkeys(f"SHA-256 {run['images']['sha256']}" for run in results["runs"])),
    }
    items = "".join(f"<dt>{name}</dt><dd>{escape(value or 'not told')}</dd>" for name, value in facts.items())
    return f"<dl>{items}</dl>"
