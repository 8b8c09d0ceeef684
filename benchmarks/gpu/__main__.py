"""What the package does on a GPU: ``python -m benchmarks.gpu``; ``--dry-run`` tries all of it on a CPU, in tiny sizes.

First the sizes of the Triton kernels' tiles: the fastest are kept for all later runs on this GPU. Then parity: outputs
and gradients of the Triton and the chunked backend against float64 on the device, for every problem of the tests. Then
times and peak memory of a model on 1,000 to 10 million tokens, in float32, bfloat16 and uint8, beside release 1.4.0, an
input array with PyTorch's own attention, transformers, and flash-perceiver where flash_attn is installed. Then
torch.compile and CUDA graphs around the model. What was found is kept after each step, so Ctrl-C loses nothing.
"""

import argparse
import os
import re
import shlex
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory, peers, runner
from benchmarks.cases import FORWARD, TRAIN, Case
from benchmarks.contestants import contestant
from benchmarks.gpu import report
from benchmarks.gpu.cases import CONTESTANTS, SIZES, TINY, cases
from benchmarks.machine import describe
from benchmarks.peers import ROOT

PARTS = ("tune", "parity", "times", "graphs")


def main() -> None:
    options = arguments().parse_args()
    if options.dry_run:
        os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported
        os.environ["PERCEIVER_CACHE"] = tempfile.mkdtemp()  # sizes that nobody should go by
    elif not torch.cuda.is_available():
        raise SystemExit("no GPU is here that PyTorch can use; --dry-run tries everything on the CPU, in tiny sizes")
    sys.path.insert(0, str(ROOT / "src"))
    run = Run(options, shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]]))
    try:
        passed = run.everything()
    finally:
        for file in run.save():
            print(file)
    if not passed:
        raise SystemExit("a backend fails, or is too far from float64: see above and the page")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, in tiny sizes: checks that everything runs")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tokens", nargs="+", type=int, help=f"sizes; by default {', '.join(map(str, SIZES))}")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--repeats", type=int, help="calls of each; by default 20, in a dry run 1")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds after which no call is added")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds that a measurement may take")
    parser.add_argument("--name", help="of the page, gpu-NAME; by default the GPU's")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results", help="folder of the page")
    return parser


class Run:
    """Results as they come in, and the page of them."""

    kernels_run = True

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        self.options = options
        self.device = "cpu" if options.dry_run else "cuda"
        gpu = "dry-run" if options.dry_run else torch.cuda.get_device_name()
        self.name = "gpu-" + re.sub(r"[^A-Za-z0-9]+", "-", options.name or gpu).strip("-")
        self.sizes = tuple(options.tokens or (TINY if options.dry_run else SIZES))
        self.repeats = options.repeats or (1 if options.dry_run else 20)
        self.limits = runner.Limits(1, int(0.8 * memory.available()), options.time_limit)
        self.results: dict[str, Any] = {
            "command": command,
            "dry_run": options.dry_run,
            "machine": self._machine(),
            "tiles": [],
            "checks": [],
            "measurements": [],
            "graphs": [],
        }

    def everything(self) -> bool:
        """The parts that were asked for; whether every backend runs, and is near enough to float64."""
        parts = {"tune": self._tune, "parity": self._parity, "times": self._times, "graphs": self._graphs}
        for name, part in parts.items():
            if name in self.options.parts:
                part()
        return self.kernels_run and all(check["passed"] for check in self.results["checks"])

    def save(self) -> list[Path]:
        return report.save(self.results, self.options.output, self.name)

    def _machine(self) -> dict[str, str]:
        told = describe(1)
        if self.device == "cuda":
            properties = torch.cuda.get_device_properties(0)
            told = {
                "GPU": properties.name,
                "its memory": f"{properties.total_memory / 1e9:.0f} GB",
                "compute capability": f"{properties.major}.{properties.minor}",
                "CUDA": str(torch.version.cuda),
            } | told
        return told | {"triton": _version("triton"), "flash_attn": _version("flash_attn")}

    def _tune(self) -> None:
        from perceiver_pytorch.ops.backends.triton import TritonAttend
        from perceiver_pytorch.ops.backends.triton_tiles import CANDIDATES, REPEATS, SIDE, tune

        work = {"side": SIDE, "candidates": CANDIDATES, "repeats": REPEATS}
        if self.options.dry_run:
            work = {"side": 8, "candidates": CANDIDATES[-2:], "repeats": 1}
        for precision in ("single", "half"):
            try:
                device = torch.device(self.device)
                found = tune(TritonAttend, device, precision == "half", **work)
            except RuntimeError as error:
                self._say(f"tiles, {precision} precision: {error}")
                self.kernels_run = False
                continue
            for tiles, seconds in sorted(found.items(), key=lambda entry: entry[1]):
                self.results["tiles"].append({"precision": precision, **asdict(tiles), "seconds": seconds})
            self._say(f"tiles, {precision} precision: {min(found, key=lambda tiles: found[tiles])}")
        self.save()

    def _parity(self) -> None:
        from benchmarks.gpu import parity

        long, most = (2_000, 6) if self.options.dry_run else (100_000, None)
        for check in parity.checks(torch.device(self.device), long, most):
            self.results["checks"].append(check.to_json())
            self._say(f"{check.problem}, {check.backend}: {check.verdict}")
        self.save()

    def _times(self) -> None:
        missing = {name: self._missing(name) for name in self.options.contestants}
        for case in cases(self.sizes):
            for mode in (FORWARD, TRAIN):
                for name in self.options.contestants:
                    self._measure(case, mode, name, missing[name])

    def _missing(self, name: str) -> str | None:
        """Why a contestant cannot take part at all."""
        if name == "flash-perceiver" and self.device == "cuda" and find_spec("flash_attn") is None:
            return "flash_attn is not installed"
        peer = contestant(name).PEER
        if peer is None:
            return None
        return peers.install(peer) or runner.run({"kind": "import", "peer": peer}, self.limits).get("error")

    def _measure(self, case: Case, mode: str, name: str, missing: str | None) -> None:
        module = contestant(name)
        entry = {"case": case.label, "mode": mode, "contestant": name, "note": module.note(case), "error": None}
        reason = missing or module.unsupported(case)
        if reason:
            answer = {"error": reason}
        else:
            job = {"kind": "gpu", "contestant": name, "case": case.to_json(), "device": self.device, "mode": mode}
            answer = runner.run({**job, "repeats": self.repeats, "budget": self.options.budget}, self.limits)
        self.results["measurements"].append(entry | answer)
        self._say(f"{case.label}, {mode}, {name}: {answer.get('error') or 'done'}")
        self.save()

    def _graphs(self) -> None:
        for case in cases(self.sizes[:1] if self.options.dry_run else self.sizes[:3]):
            job = {"kind": "gpu-graphs", "case": case.to_json(), "device": self.device}
            answer = runner.run({**job, "repeats": self.repeats, "budget": self.options.budget}, self.limits)
            entry = {"case": case.label} | ({"error": answer["error"]} if "error" in answer else {"ways": answer})
            self.results["graphs"].append(entry)
            self._say(f"{case.label}, compiled and recorded: {answer.get('error') or 'done'}")
            self.save()

    def _say(self, text: str) -> None:
        print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
