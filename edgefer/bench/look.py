"""How pictures look: colours for a light and a dark page, one for each candidate, and axes that read plainly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefer.files import replace_file
from edgefer.optional import require

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DPI = 150
THEMES = {
    "light": {"paper": "#ffffff", "ink": "#1f2328", "faint": "#d8dee4", "note": "#59636e"},
    "dark": {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#2f363d", "note": "#9198a1"},
}
# After Okabe and Ito, told apart by every kind of eye; no yellow on white, and lighter where the page is dark.
COLORS = {
    "light": ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b", "#6a51a3", "#7f7f7f"),
    "dark": ("#4da3e0", "#f08a4b", "#3fc79a", "#e6a3c8", "#8fd0f5", "#e0b040", "#a995e0", "#b0b0b0"),
}
DASHES = ("-", "--", ":")
MARKERS = "osD^vP*X"


class Look:
    """Colours of a page, and a colour, dash and marker for each name: the same in all pictures."""

    def __init__(self, theme: str, names: Sequence[str]) -> None:
        colors = COLORS[theme]
        self.color = {name: colors[i % len(colors)] for i, name in enumerate(names)}
        self.dash = {name: DASHES[i // len(colors) % len(DASHES)] for i, name in enumerate(names)}
        self.marker = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}
        self.ink, self.note, self.faint = (THEMES[theme][key] for key in ("ink", "note", "faint"))
        paper = THEMES[theme]["paper"]
        self.settings: Any = {
            **dict.fromkeys(("figure.facecolor", "savefig.facecolor", "axes.facecolor"), paper),
            **dict.fromkeys(("axes.labelcolor", "axes.titlecolor", "text.color"), self.ink),
            **dict.fromkeys(("xtick.color", "ytick.color"), self.note),
            **dict.fromkeys(("axes.edgecolor", "grid.color"), self.faint),
            **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
            **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
            **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 8),
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "font.size": 9,
            "grid.linewidth": 0.6,
        }


def save(folder: Path, stem: str, names: Sequence[str], make: Callable[[Look], Figure]) -> tuple[Path, Path]:
    """Draw with `make` for a light and for a dark page, into `stem`.png and `stem`-dark.png.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    require(("matplotlib",), "bench", "drawing pictures")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = folder / f"{stem}.png", folder / f"{stem}-dark.png"
    for theme, path in zip(THEMES, paths, strict=True):
        look = Look(theme, names)
        with pyplot.rc_context(look.settings):
            drawn = make(look)
            with replace_file(path) as partial:
                drawn.savefig(partial, dpi=DPI, format="png")
            pyplot.close(drawn)
    return paths


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure of `rows` x `columns` panels, each `width` x `height` inches, with room above them for a legend."""
    from matplotlib import pyplot

    return pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows + 0.5), squeeze=False, layout="constrained"
    )


def legend(figure: Figure, look: Look, names: Sequence[str], markers: bool = False) -> None:
    """Name the candidates above the panels, in as many rows as it takes."""
    from matplotlib.lines import Line2D

    if len(names) < 2:
        return
    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=look.color[name],
            linestyle="none" if markers else look.dash[name],  # type: ignore[arg-type]
            marker=look.marker[name] if markers else None,
            linewidth=2,
            label=name,
        )
        for name in names
    ]
    width = figure.get_figwidth() * 14  # characters at this font size
    columns = max(1, min(len(names), int(width // (max(map(len, names)) + 8))))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize=9, borderaxespad=0.2)


def plain_log(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers, close enough together for the range `low` to `high`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    steps: tuple[float, ...] = (1, 2, 5) if high / low > 6 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    if high / low > 200:
        steps = (1,)
    ticks = [step * 10.0**power for power in range(-4, 8) for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_locator(FixedLocator(shown))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
