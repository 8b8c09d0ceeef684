"""Tables of measurements, as text and Markdown, and the files that keep them."""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import FORWARD, GROUPS
from benchmarks.contestants import PUBLISHED_NUMBERS, SAME_NUMBERS
from benchmarks.runner import OUT_OF_MEMORY

RELEASE, RIVAL, PUBLISHER = "release-1.4.0", "rival", "transformers"
COLUMNS = (
    "case", "contestant", "median", "min-max", "calls", "first call", "peak memory",
    f"x {RELEASE}", f"x {RIVAL}", f"x {PUBLISHER}", "difference", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A title, column names, rows of text, and remarks underneath."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [self.title, ""]
        for row in (self.columns, ["-" * width for width in widths], *self.rows):
            lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])

    def markdown(self) -> str:
        rows = [self.columns, ["---"] * len(self.columns), *self.rows]
        lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
        remarks = ["", *(f"- {remark}" for remark in self.remarks)] if self.remarks else []
        return "\n".join([f"## {self.title}", "", *lines, *remarks])


def tables(results: dict[str, Any]) -> list[Table]:
    """All tables of a run's results (see `benchmarks.compare.Run`)."""
    made = [_machine(results), _peers(results["peers"]), _floors(results["floors"])]
    groups = list(dict.fromkeys((m["group"], m["mode"]) for m in results["measurements"]))
    made += [_comparison(results, *key) for key in sorted(groups, key=lambda key: (key[0], key[1] != FORWARD))]
    made += [_per_frame(results["measurements"]), _kernels(results)]
    return [table for table in made if table.rows]


def save(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Writes ``name.json`` and ``name.md``, each under a temporary name first; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = "\n\n".join([f"# {name}", f"    {results['command']}", *(table.markdown() for table in tables(results))])
    texts = {f"{name}.json": json.dumps(results, indent=1), f"{name}.md": pages}
    for file, text in texts.items():
        partial = folder / f".{file}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, folder / file)
    return [folder / file for file in texts]


def relative_difference(values: Sequence[float], reference: Sequence[float]) -> float:
    """Largest difference, relative to the largest value of the reference."""
    largest = max(map(abs, reference))
    return max(abs(a - b) for a, b in zip(values, reference, strict=True)) / (largest or 1.0)


def duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _machine(results: dict[str, Any]) -> Table:
    rows = [*results["machine"].items(), *((key, str(value)) for key, value in results["settings"].items())]
    return Table("Machine and settings", ("what", "value"), rows)


def _peers(peers: dict[str, str | None]) -> Table:
    rows = [(name, "runs" if reason is None else reason) for name, reason in peers.items()]
    return Table("Peers", ("peer", "state"), rows)


def _floors(floors: dict[str, Any]) -> Table:
    if "error" in floors:
        return Table("Floors", ("floor", "why not"), [("all", floors["error"])])
    rows = [(name, f"{f['median']:.3g} {f['unit']}", f"{f['best']:.3g} {f['unit']}") for name, f in floors.items()]
    return Table("Floors: what this machine does at best", ("floor", "median", "best"), rows)


def _comparison(results: dict[str, Any], group: str, mode: str) -> Table:
    chosen = [m for m in results["measurements"] if (m["group"], m["mode"]) == (group, mode)]
    rows = []
    for measurement in chosen:
        beside = {m["contestant"]: m for m in chosen if m["case"] == measurement["case"]}
        rows.append(_row(measurement, beside))
    remarks = list(
        dict.fromkeys(f"{s['contestant']}: {s['reason']}" for s in results["skipped"] if s["group"] == group)
    )
    return Table(f"{group}: {GROUPS[group]}, {mode}", COLUMNS, rows, remarks)


def _row(measurement: dict[str, Any], beside: dict[str, dict[str, Any]]) -> list[str]:
    """One contestant on one case; ``beside``: all that ran on it, by contestant."""
    label = measurement["case"].partition(": ")[2]
    if not measurement["times"]:
        reason = measurement["error"] or "interrupted"
        state = OUT_OF_MEMORY if reason.startswith(OUT_OF_MEMORY) else "none"
        return [label, measurement["contestant"], state, *[""] * (len(COLUMNS) - 4), reason]
    times = measurement["times"]
    return [
        label,
        measurement["contestant"],
        duration(statistics.median(times)),
        f"{duration(min(times))} - {duration(max(times))}",
        str(len(times)),
        duration(measurement["first_call"]),
        size(measurement["peak"]),
        _times_as_fast(measurement, beside.get(RELEASE)),
        _times_as_fast(measurement, beside.get(RIVAL)),
        _times_as_fast(measurement, beside.get(PUBLISHER)),
        _difference(measurement, beside),
        "; ".join(filter(None, (measurement["note"], measurement["error"]))),
    ]


def _times_as_fast(measurement: dict[str, Any], other: dict[str, Any] | None) -> str:
    if other is None or not other["times"]:
        return ""
    return f"{statistics.median(other['times']) / statistics.median(measurement['times']):.2f}"


def _difference(measurement: dict[str, Any], beside: dict[str, dict[str, Any]]) -> str:
    """From the first contestant with the same weights that ran."""
    same = PUBLISHED_NUMBERS if measurement["published"] else SAME_NUMBERS
    reference = next((name for name in same if name in beside and beside[name]["times"]), None)
    if measurement["contestant"] not in same or reference is None:
        return ""
    if measurement["contestant"] == reference:
        return "reference"
    return f"{relative_difference(measurement['output'], beside[reference]['output']):.1e}"


def _per_frame(measurements: list[dict[str, Any]]) -> Table:
    rows = []
    for m in measurements:
        if m["frames"] and m["times"]:
            time = statistics.median(m["times"]) / m["frames"]
            beyond = (m["peak"] - m["before"]) / m["frames"]
            cells = (duration(time), size(m["input"] / m["frames"]), f"{beyond / 1e6:.2f} MB")
            rows.append((m["case"].partition(": ")[2], m["contestant"], m["mode"], *cells))
    columns = ("case", "contestant", "mode", "time per frame", "input per frame", "memory beyond it per frame")
    return Table("Per frame: inputs are uint8", columns, rows)


def _kernels(results: dict[str, Any]) -> Table:
    rows = []
    exp = results["floors"].get("exp, float32, in cache", {}).get("median")
    for kernel in results["kernels"]:
        if "error" in kernel:
            rows.append((kernel["case"], kernel["error"], *[""] * 4))
            continue
        forward = statistics.median(kernel["forward"])
        backward = statistics.median(kernel["both"]) - forward
        cells = [f"{kernel['pairs'] / 1e6:.4g} M"]
        for time in (forward, backward):
            rate = kernel["pairs"] / time / 1e9 if time > 0 else float("nan")
            cells += [f"{rate:.3g} G/s", f"{rate / exp:.2f}" if exp else ""]
        rows.append((kernel["case"], *cells))
    columns = ("case", "pairs", "forward", "of exp", "backward", "of exp")
    return Table("Our cross-attend alone: (latent, token) pairs of the largest modality", columns, rows)
