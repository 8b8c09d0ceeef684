"""``python -m benchmarks.compare``: this repository and its peers on the same work, in one run."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import memory, peers, report, runner
from benchmarks.cases import FORWARD, GROUPS, TRAIN, Case, all_cases
from benchmarks.contestants import MODULES, contestant
from benchmarks.machine import describe, num_cores

GIGABYTE = 1e9


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = peers.without_paths(shlex.join(["python", "-m", "benchmarks.compare", *given]))
    run = Run(options, command)
    try:
        with runner.busy(options.busy):
            run.everything()
    except KeyboardInterrupt:
        print("\ninterrupted: what has been measured is kept", file=sys.stderr)
    for table in report.tables(run.results):
        print(f"\n{table.text()}")
    for path in run.save():
        print(f"saved {path}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    made.add_argument("--cases", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="letters of the cases")
    made.add_argument("--contestants", nargs="+", choices=list(MODULES), default=list(MODULES))
    made.add_argument("--modes", nargs="+", choices=[FORWARD, TRAIN], default=[FORWARD, TRAIN])
    made.add_argument("--quick", action="store_true", help="tiny cases, to see that all runs; its times say nothing")
    made.add_argument("--repeats", type=int, help="calls per measurement, over all rounds (default 6; quick: 2)")
    made.add_argument("--rounds", type=int, help="times that the contestants take turns (default 2; quick: 1)")
    made.add_argument("--budget", type=float, default=60.0, help="seconds of calls after which none is added")
    made.add_argument("--time-limit", type=float, default=1200.0, help="seconds after which a process is ended")
    made.add_argument("--memory-limit", type=float, help="GB after which a process is ended (default: 80 %% of free)")
    made.add_argument("--threads", type=int, default=num_cores(), help="threads of PyTorch (default: all cores)")
    made.add_argument("--busy", type=int, default=0, help="cores that other processes keep busy meanwhile")
    made.add_argument("--output", type=Path, default=peers.ROOT / "benchmarks" / "results", help="folder of results")
    return made


@dataclass
class Run:
    """One run of the command; ``results`` is what is saved, complete at any time.

    The results hold ``machine``, ``settings``, ``command``; ``peers`` (name: why it does not run, or None); ``floors``;
    ``measurements``, each of one contestant, case and mode (see `benchmarks.worker.measure`); ``skipped``;
    ``kernels``.
    """

    options: argparse.Namespace
    command: str
    results: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        options.repeats = options.repeats or (2 if options.quick else 6)
        options.rounds = options.rounds or (1 if options.quick else 2)
        limit = options.memory_limit * GIGABYTE if options.memory_limit else 0.8 * memory.available()
        self.limits = runner.Limits(options.threads, int(limit), options.time_limit)
        self.name = self._name()
        settings = {
            "calls": f"{options.repeats} in {options.rounds} rounds, none added after {options.budget:.0f} s",
            "memory limit": report.size(limit),
            "time limit": f"{options.time_limit:.0f} s",
            "busy cores": options.busy,
            "sizes": "quick: tiny cases, times say nothing" if options.quick else "full",
            "columns x ...": "how many times as fast as that contestant",
        }
        self.results = {
            "command": self.command,
            "machine": describe(options.threads),
            "settings": settings,
            "peers": {},
            "floors": {},
            "measurements": [],
            "skipped": [],
            "kernels": [],
        }

    def everything(self) -> None:
        """Peers, floors, then case by case; saves after each measurement."""
        self._check_peers()
        self._say("floors")
        self.results["floors"] = runner.run({"kind": "floors", "quick": self.options.quick}, self.limits)
        for case in all_cases(self.options.quick):
            if case.group in self.options.cases:
                for mode in self.options.modes:
                    self._compare(case, mode)
                self._kernel(case)

    def save(self) -> list[Path]:
        return report.save(self.results, self.options.output, self.name)

    def _check_peers(self) -> None:
        """Installs and imports what the contestants run on."""
        for name in self.options.contestants:
            peer = contestant(name).PEER
            if peer is not None:
                self._say(f"peer {peer}")
                reason = peers.install(peer) or runner.run({"kind": "import", "peer": peer}, self.limits).get("error")
                self.results["peers"][peer] = reason

    def _compare(self, case: Case, mode: str) -> None:
        """All contestants in turns, round by round."""
        running = [m for name in self.options.contestants if (m := self._entry(case, mode, name))]
        self.results["measurements"] += running
        for number in range(self.options.rounds):
            for measurement in running:
                if number and (measurement["error"] or sum(measurement["times"]) > self.options.budget):
                    continue
                self._measure(measurement, case, mode)
                self.save()
                state = measurement["error"] or report.duration(measurement["times"][-1])
                self._say(f"{case.name}, {mode}, {measurement['contestant']}, round {number + 1}: {state}")

    def _entry(self, case: Case, mode: str, name: str) -> dict[str, Any] | None:
        """An empty measurement, or None where the contestant does not take part."""
        if case.contestants and name not in case.contestants:
            return None
        module = contestant(name)
        reason = self.results["peers"].get(module.PEER) or module.unsupported(case)
        if reason:
            self.results["skipped"].append(
                {"group": case.group, "case": case.name, "contestant": name, "reason": reason}
            )
            return None
        inputs = sum(m.num_tokens * m.channels * (1 if m.dtype == "uint8" else 4) for m in case.modalities)
        return {
            "group": case.group,
            "case": case.name,
            "mode": mode,
            "contestant": name,
            "published": case.published,
            "note": module.note(case),
            "frames": case.frames,
            "input": inputs * case.batch,
            "error": None,
            "times": [],
            "peak": 0,
        }

    def _measure(self, measurement: dict[str, Any], case: Case, mode: str) -> None:
        """Runs one round and adds its times."""
        options = self.options
        job = {"kind": "measure", "contestant": measurement["contestant"], "case": case.to_json(), "mode": mode}
        share = {"repeats": -(-options.repeats // options.rounds), "budget": options.budget / options.rounds}
        answer = runner.run({**job, **share}, self.limits)
        measurement["error"] = answer.get("error")
        if measurement["error"]:
            return
        first = not measurement["times"]
        measurement["times"] += answer["times"]
        measurement["peak"] = max(measurement["peak"], answer["peak"])
        if first:
            measurement |= {key: answer[key] for key in ("first_call", "before", "output")}

    def _kernel(self, case: Case) -> None:
        """Our cross-attend alone."""
        if "ours" in self.options.contestants and not case.published:
            job = {"kind": "kernel", "case": case.to_json(), "repeats": self.options.repeats}
            answer = runner.run({**job, "budget": self.options.budget}, self.limits)
            self.results["kernels"].append({"case": case.name, **answer})
            self.save()
            self._say(f"{case.name}, cross-attend alone: {answer.get('error', 'done')}")

    def _name(self) -> str:
        """Theme and date."""
        options = self.options
        letters = "" if options.cases == list(GROUPS) else "-" + "".join(options.cases)
        return f"compare{'-quick' if options.quick else ''}{letters}_{datetime.now():%Y-%m-%d-%H%M}"

    def _say(self, text: str) -> None:
        print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
