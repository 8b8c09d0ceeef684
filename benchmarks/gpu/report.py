"""The page of a run on a GPU, benchmarks/results/gpu-NAME.md."""

import json
import os
import statistics
from pathlib import Path
from typing import Any

from benchmarks.report import Table, duration, size


def save(results: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Writes ``name.json`` and ``name.md``, each under a temporary name first; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    heading = [f"# {name}", f"    {results['command']}"]
    if results["dry_run"]:
        heading.append("**A dry run on a CPU, in tiny sizes: it shows that everything runs. Its times mean nothing.**")
    page = "\n\n".join([*heading, *(table.markdown() for table in tables(results) if table.rows)])
    written = []
    for file, text in {f"{name}.json": json.dumps(results, indent=1), f"{name}.md": page}.items():
        partial = folder / f".{file}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, folder / file)
        written.append(folder / file)
    return written


def tables(results: dict[str, Any]) -> list[Table]:
    """All tables of a run's results (see `benchmarks.gpu.__main__`)."""
    machine = Table("Machine", ("what", "is"), [(key, str(value)) for key, value in results["machine"].items()])
    modes = dict.fromkeys(measurement["mode"] for measurement in results["measurements"])
    by_mode = [times(results["measurements"], mode) for mode in modes]
    return [machine, tiles(results["tiles"]), parity(results["checks"]), *by_mode, graphs(results)]


def tiles(measured: list[dict[str, Any]]) -> Table:
    """Sizes of tiles, the fastest of each precision first; that one is kept."""
    columns = ("precision", "rows", "tokens", "warps", "forward and backward")
    rows = [
        (one["precision"], *(str(one[size]) for size in ("rows", "tokens", "warps")), duration(one["seconds"]))
        for one in measured
    ]
    return Table("Sizes of the Triton kernels' tiles", columns, rows, ["Of each precision the first is kept."])


def parity(checks: list[dict[str, Any]]) -> Table:
    """How far each backend is from float64, and how far it may be."""
    rows = []
    for check in checks:
        numbers = (f"{check['error']:.1e}", f"{check['allowed']:.1e}") if check["result"] else ("", "")
        rows.append((check["problem"], check["backend"], check["result"], *numbers, check["verdict"]))
    columns = ("problem", "backend", "result", "error", "allowed", "verdict")
    remark = "Of outputs and gradients the one nearest to what is allowed, which is twice plain float32's own error."
    return Table("Against float64 on the device", columns, rows, [remark])


def times(measurements: list[dict[str, Any]], mode: str) -> Table:
    """Contestants side by side, case by case."""
    here = [measurement for measurement in measurements if measurement["mode"] == mode]
    medians = {(m["case"], m["contestant"]): statistics.median(m["times"]) for m in here if m.get("times")}
    rows = []
    for measurement in here:
        case, name = measurement["case"], measurement["contestant"]
        if (case, name) not in medians:
            rows.append((case, name, "", "", "", "", measurement["error"]))
            continue
        mine, ours = medians[case, name], medians.get((case, "ours"))
        factor = "" if ours is None or name == "ours" else f"{mine / ours:.1f}"
        peak = size(measurement["peak"] - measurement["before"])
        first = duration(measurement["first_call"])
        failed = [f"KERNELS FAILED, chunked instead: {reason}" for reason in measurement["failed"]]
        note = "; ".join(filter(None, [*failed, measurement["note"]]))
        rows.append((case, name, duration(mine), factor, peak, first, note))
    columns = ("case", "contestant", "median", "x ours", "peak memory", "first call", "note")
    return Table(f"Times, {mode}", columns, rows, ["Peak memory is what was allocated beyond model and inputs."])


def graphs(results: dict[str, Any]) -> Table:
    """The forward by itself, compiled and recorded."""
    rows = []
    for entry in results["graphs"]:
        if "error" in entry:
            rows.append((entry["case"], "", "", "", entry["error"]))
            continue
        for way, found in entry["ways"].items():
            rows.append((entry["case"], way, duration(statistics.median(found["times"])), f"{found['apart']:.1e}", ""))
    columns = ("case", "forward", "median", "apart from eager", "note")
    return Table("torch.compile and CUDA graphs around the model", columns, rows)
