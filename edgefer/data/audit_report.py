"""What an audit found, and the files that show it: report.json, report.md and pairs.png."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgefer.data import contact_sheet
from edgefer.data.dataset import SPLITS, Dataset
from edgefer.data.packed import Packed
from edgefer.emotions import EMOTIONS
from edgefer.files import replace_file

_LISTED = 10_000  # rows of a list in report.json
_SHOWN = 20  # rows of a list in report.md


@dataclass(frozen=True)
class Pairs:
    """Near copies: rows `first` < `second` int64 [P] and their correlation float32 [P], at 16x16."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.first.tolist(), self.second.tolist(), self.correlation.tolist(), strict=True)


@dataclass
class AuditReport:
    """What `audit` found. Rows are positions in the data set.

    Attributes:
        source: the audited data set, for ids and pictures.
        threshold: correlation from which two images are near copies.
        labels, splits: int64 [N], class index and 0 train, 1 val, 2 test.
        exact: groups of two or more rows with identical pixels.
        pairs: near copies that are not exact ones, each exact group standing for itself by its first row.
        pairs_dropped: near copies beyond the number that is kept; `in_train` has them all the same.
        constant: rows whose pixels are all equal.
        unreadable: (where, why) of images that could not be read; with `skip_bad` only.
        in_train: {"exact", "near"} -> bool [N], rows of val and test with a copy in train; near includes exact.
        differences: sentences on the class counts against the paper's tables.
    """

    source: Dataset | Packed
    threshold: float
    labels: np.ndarray
    splits: np.ndarray
    exact: list[list[int]]
    pairs: Pairs
    pairs_dropped: int
    constant: list[int]
    unreadable: list[tuple[str, str]]
    in_train: dict[str, np.ndarray]
    differences: list[str] = field(default_factory=list)

    @property
    def clean(self) -> np.ndarray:
        """Return bool [N]: test images without a near copy in training."""
        return np.asarray((self.splits == SPLITS.index("test")) & ~self.in_train["near"])

    def conflicts(self) -> tuple[list[list[int]], np.ndarray]:
        """Return the exact groups with more than one label, and the positions in `pairs` with two labels."""
        groups = [group for group in self.exact if len(set(self.labels[group].tolist())) > 1]
        return groups, np.flatnonzero(self.labels[self.pairs.first] != self.labels[self.pairs.second])

    def cross_pairs(self) -> list[tuple[int, int, float]]:
        """Return (training row, other row, correlation) for copies across train and val or test, the closest first.

        Exact copies have correlation 1 and appear with the first of their copies in training.
        """
        found = []
        for group in self.exact:
            training = next((row for row in group if self.splits[row] == 0), None)
            if training is not None:
                found += [(training, row, 1.0) for row in group if self.splits[row] != 0]
        for a, b, correlation in self.pairs:
            if self.splits[a] == 0 < self.splits[b]:
                found.append((a, b, correlation))
            elif self.splits[b] == 0 < self.splits[a]:
                found.append((b, a, correlation))
        return sorted(found, key=lambda pair: (-pair[2], pair[1], pair[0]))

    def summary(self) -> dict[str, Any]:
        """Return the figures, as plain JSON types."""
        groups, conflicting = self.conflicts()
        splits = {}
        for index, split in enumerate(SPLITS):
            rows = self.splits == index
            splits[split] = {
                "images": int(rows.sum()),
                "exact_copy_in_train": int(self.in_train["exact"][rows].sum()),
                "near_copy_in_train": int(self.in_train["near"][rows].sum()),
            }
        return {
            "dataset": self.source.name,
            "images": len(self.labels),
            "threshold": self.threshold,
            "splits": splits,
            "clean_test_images": int(self.clean.sum()),
            "pairs": self._pairs_by_split(),
            "near_pairs_not_listed": self.pairs_dropped,
            "exact_groups": len(self.exact),
            "exact_groups_with_conflicting_labels": len(groups),
            "near_pairs_with_conflicting_labels": len(conflicting),
            "constant_images": len(self.constant),
            "unreadable": len(self.unreadable),
            "counts": self.source.counts(),
            "differences": self.differences,
        }

    def write_report(self, out: str | os.PathLike[str]) -> Path:
        """Write report.json, report.md and, if there are copies, pairs.png into the folder `out`; return report.md."""
        folder = Path(out)
        sections = self._sections()
        sheet, report = folder / "pairs.png", folder / "report.md"
        if sections:
            with replace_file(sheet) as partial:
                contact_sheet.write(partial, sections)
        else:
            sheet.unlink(missing_ok=True)  # an earlier report's
        texts = {
            folder / "report.json": json.dumps(self._lists(), indent=1) + "\n",
            report: self._markdown(bool(sections)),
        }
        for path, text in texts.items():
            with replace_file(path) as partial:
                partial.write_text(text, "utf-8")
        return report

    def _pairs_by_split(self) -> dict[str, dict[str, int]]:
        """Count pairs of copies between each two splits; a group of exact copies counts once among the near ones."""
        table = {}
        members = [np.bincount(self.splits[group], minlength=3).tolist() for group in self.exact]
        first, second = self.splits[self.pairs.first], self.splits[self.pairs.second]
        for i in range(3):
            for j in range(i, 3):
                exact = sum(n[i] * (n[i] - 1) // 2 if i == j else n[i] * n[j] for n in members)
                near = int(((np.minimum(first, second) == i) & (np.maximum(first, second) == j)).sum())
                table[f"{SPLITS[i]} - {SPLITS[j]}"] = {"exact": exact, "near": near}
        return table

    def _lists(self) -> dict[str, Any]:
        name = self.source.id
        groups, conflicting = self.conflicts()
        positions = conflicting[:_LISTED]
        pairs = zip(self.pairs.first[positions].tolist(), self.pairs.second[positions].tolist(), strict=True)
        return {
            **self.summary(),
            "copies_in_train": [
                {"train": name(a), "other": name(b), "correlation": round(c, 4), **self._labels(a, b)}
                for a, b, c in self.cross_pairs()[:_LISTED]
            ],
            "conflicting_exact_groups": [[self._named(row) for row in group] for group in groups[:_LISTED]],
            "conflicting_near_pairs": [[self._named(a), self._named(b)] for a, b in pairs],
            "constant": [name(row) for row in self.constant[:_LISTED]],
            "unreadable_files": [f"{where}: {why}" for where, why in self.unreadable[:_LISTED]],
        }

    def _labels(self, train: int, other: int) -> dict[str, str]:
        return {
            "train_label": EMOTIONS[self.labels[train]],
            "other_label": EMOTIONS[self.labels[other]],
            "split": SPLITS[self.splits[other]],
        }

    def _named(self, row: int) -> str:
        return f"{self.source.id(row)} ({SPLITS[self.splits[row]]}, {EMOTIONS[self.labels[row]]})"

    def _sections(self) -> list[contact_sheet.Section]:
        """Choose the pairs to look at: copies with two labels, the closest, and those at the threshold."""
        pairs, what = self.cross_pairs(), "training | other split"
        if not pairs:
            pairs, what = sorted(self.pairs, key=lambda pair: -pair[2]), "within one split"
        conflicting = [pair for pair in pairs if self.labels[pair[0]] != self.labels[pair[1]]]
        chosen = {
            f"Copies with two labels ({what})": conflicting,
            f"The closest copies ({what})": [pair for pair in pairs if pair not in conflicting[: contact_sheet.PAIRS]],
            f"At the threshold of {self.threshold:g}: are these still copies?": pairs[::-1],
        }
        return [
            (title, [self._tile(*p) for p in rows[: contact_sheet.PAIRS]]) for title, rows in chosen.items() if rows
        ]

    def _tile(self, first: int, second: int, correlation: float) -> contact_sheet.Pair:
        captions = [f"{SPLITS[self.splits[row]]} {EMOTIONS[self.labels[row]]}" for row in (first, second)]
        return contact_sheet.Pair(
            (self.source.image(first), self.source.image(second)),
            (captions[0], captions[1]),
            correlation,
            bool(self.labels[first] != self.labels[second]),
        )

    def _markdown(self, has_sheet: bool) -> str:
        figures = self.summary()
        groups, _ = self.conflicts()
        lines = [
            f"# Audit of {self.source.name}",
            "",
            f"{len(self.labels):,} images. Near copies: 16x16 thumbnails that correlate at {self.threshold:g} or more.",
            "",
            "| split | images | exact copy in training | near or exact copy in training |",
            "| --- | ---: | ---: | ---: |",
        ]
        for split, row in figures["splits"].items():
            shares = [f"{n:,} ({n / max(row['images'], 1):.1%})" for n in list(row.values())[1:]]
            lines.append(f"| {split} | {row['images']:,} | {' | '.join(shares if split != 'train' else ['', ''])} |")
        lines += ["", f"Clean test images (no copy in training): {figures['clean_test_images']:,}.", ""]
        lines += ["| pairs of copies | exact | near |", "| --- | ---: | ---: |"]
        lines += [f"| {pair} | {n['exact']:,} | {n['near']:,} |" for pair, n in figures["pairs"].items()]
        lines += ["", "A group of exact copies counts once among the near pairs.", ""]
        if self.pairs_dropped:
            lines += [f"{self.pairs_dropped:,} more near pairs were counted for the first table only.", ""]
        if has_sheet:
            lines += ["![pairs of copies](pairs.png)", ""]
        lines += _listed(
            f"Conflicting labels: {len(groups)} groups of exact copies, "
            f"{figures['near_pairs_with_conflicting_labels']} near pairs",
            ["; ".join(self._named(row) for row in group[:6]) for group in groups],
        )
        lines += _listed(f"Constant images: {len(self.constant)}", [self._named(row) for row in self.constant])
        lines += _listed(f"Unreadable: {len(self.unreadable)}", [f"{where}: {why}" for where, why in self.unreadable])
        lines += ["## Class counts", "", "| split | " + " | ".join(EMOTIONS) + " |", "| --- |" + " ---: |" * 7]
        for split, counts in figures["counts"].items():
            lines.append(f"| {split} | " + " | ".join(f"{n:,}" for n in counts.values()) + " |")
        lines += [
            "",
            *(f"- {sentence}" for sentence in self.differences or ["No differences from the paper's tables."]),
        ]
        return "\n".join(lines) + "\n"


def _listed(title: str, rows: list[str]) -> list[str]:
    more = [f"- and {len(rows) - _SHOWN:,} more, in report.json"] if len(rows) > _SHOWN else []
    return [f"## {title}", "", *(f"- {row}" for row in rows[:_SHOWN]), *more, *([""] if rows else [])]
