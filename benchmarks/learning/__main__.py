"""``python -m benchmarks.learning FOLDER``: data sets x methods x seeds, each with the same time limit.

Every finished cell is a line of the file of results, so the comparison goes on where it was stopped. Each cell has a
process of its own, one after another; memory is the largest that such a process or one of its children had.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.learning.methods import BASELINES, METHODS, WITHOUT, available, cell, concerns
from benchmarks.learning.perceivers import PERCEIVERS
from benchmarks.learning.sets import SETS
from benchmarks.machine import describe
from benchmarks.tables import TABLES


def wanted(options: argparse.Namespace) -> Iterable[tuple[Any, ...]]:
    """The cells that are not in the file of results. What has no seed runs once; other Perceivers
    read sets that join pictures or sounds with something else."""
    done = {(r["set"], r["method"], r["seed"], r["limit"]) for r in read(options.results)}
    for seed in range(options.seeds):
        for name in options.sets:
            for method in options.methods:
                repeats = seed and method in ("majority", "linear")
                if method in PERCEIVERS and (len(kinds := {*SETS[name].kinds.values()}) < 2 or "image" not in kinds):
                    continue
                if repeats or not available(method) or not concerns(method, SETS[name]):
                    continue
                if (name, method, seed, options.limit) not in done:
                    yield name, method, seed, options.limit, options.folder, options.work


def read(path: Path) -> list[dict[str, Any]]:
    """The results so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(results: Iterable[dict[str, Any]]) -> str:
    """Mean and deviation of every set and method, as Markdown."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        if "score" in result:
            cells[result["set"], result["method"]].append(result)
    methods = [method for method in ("product", *BASELINES, *PERCEIVERS) if any(key[1] == method for key in cells)]
    lines = [
        f"| set | measure | {' | '.join(methods)} | product alone | seconds, MB |",
        f"|---|---|{'---|' * (len(methods) + 2)}",
    ]
    for name in SETS:
        if not any(key[0] == name for key in cells):
            continue
        ours = cells.get((name, "product"), [])
        alone = ", ".join(
            f"{part} {_spread([r['alone'][part] for r in ours])}" for part in (ours[0]["alone"] if ours else {})
        )
        cost = f"{_mean(ours, 'seconds'):.0f}, {_mean(ours, 'memory_mb'):.0f}" if ours else ""
        scores = [_spread([r["score"] for r in cells.get((name, method), [])]) for method in methods]
        lines.append(f"| {name} | {SETS[name].measure} | {' | '.join(scores)} | {alone} | {cost} |")
    return "\n".join(lines)


def ablation(results: Iterable[dict[str, Any]]) -> str:
    """Best score of the validation rows with everything, and without each part, as Markdown."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for result in results:
        if "validation" in result:
            cells[result["method"], result["set"]].append(result["validation"])
    names = [name for name in SETS if any(key[1] == name for key in cells)]
    methods = [method for method in METHODS if any(key[0] == method for key in cells)]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for method in methods:
        lines.append(f"| {method} | {' | '.join(_spread(cells.get((method, name), [])) for name in names)} |")
    return "\n".join(lines)


def ranks(results: Iterable[dict[str, Any]], methods: Sequence[str]) -> str:
    """Mean rank of the methods over the sets that all of them have, 1 is best; of scores averaged over seeds."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if "score" in result and result["method"] in methods:
            scores[result["set"]][result["method"]].append(result["score"])
    whole = [found for found in scores.values() if len(found) == len(methods)]
    places: dict[str, list[float]] = defaultdict(list)
    for found in whole:
        means = {method: statistics.mean(values) for method, values in found.items()}
        for method, mean in means.items():
            better, equal = (sum(check(other) for other in means.values()) for check in (mean.__lt__, mean.__eq__))
            places[method].append(better + (equal + 1) / 2)
    shown = ", ".join(f"{method} {statistics.mean(places[method]):.2f}" for method in methods) if whole else "none"
    return f"mean rank over {len(whole)} sets: {shown}"


def _spread(scores: list[float]) -> str:
    if not scores:
        return ""
    return f"{statistics.mean(scores):.3f}" + (f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else "")


def _mean(results: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(result[key] for result in results)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the data sets")
    parser.add_argument(
        "--sets", nargs="*", choices=[*SETS, "plain"], default=list(SETS), help="plain: those of benchmarks.tables"
    )
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=["product", *BASELINES, *PERCEIVERS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", default="10m", help="time limit of a run of the product, or its steps: 400steps")
    parser.add_argument("--work", type=Path, default=Path("learning"), help="folder for runs and tables")
    parser.add_argument("--results", type=Path, default=None, help="file of results; default: in the folder of work")
    parser.add_argument("--print", action="store_true", help="print the table of what there is, and run nothing")
    options = parser.parse_args()
    options.sets = [name for each in options.sets for name in (TABLES if each == "plain" else [each])]
    options.work.mkdir(parents=True, exist_ok=True)
    options.results = options.results or options.work / "results.jsonl"
    context = multiprocessing.get_context("spawn")
    for arguments in [] if options.print else list(wanted(options)):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found = pool.submit(cell, *arguments).result()
        with options.results.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print({key: found.get(key) for key in ("set", "method", "seed", "score", "seconds", "error")}, flush=True)
    found = [result for result in read(options.results) if result["set"] in options.sets]
    print(table(found))
    if any(method.startswith(WITHOUT) for method in options.methods):
        print(ablation(result for result in found if result["limit"] == options.limit))
    print(ranks(found, [method for method in options.methods if available(method)]))
    print(", ".join(f"{key}: {value}" for key, value in describe(1).items()), file=sys.stderr)


if __name__ == "__main__":
    main()
