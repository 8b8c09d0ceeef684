"""`python -m benchmarks.gpu`: what it finds out, as far as that can be tried without a GPU."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ stands beside the package, not in it

from benchmarks.cases import FORWARD, TRAIN
from benchmarks.contestants import ours
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import measure, parity, report
from benchmarks.gpu.cases import CONTESTANTS, SIZES, cases
from benchmarks.gpu.parity import Check

from perceiver_pytorch.ops.backends import chunked, triton, triton_tiles

CPU = torch.device("cpu")


def test_sizes_go_from_a_thousand_to_ten_million_in_every_dtype() -> None:
    every = cases(SIZES)
    tokens = sorted({case.modalities[0].num_tokens for case in every})
    assert [round(count, -len(str(count)) + 1) for count in tokens] == [1e3, 1e4, 1e5, 1e6, 1e7]
    assert {case.modalities[0].dtype for case in every} == {"float32", "bfloat16", "uint8"}
    assert {"ours", "ours-chunked", "release-1.4.0", "rival", "transformers", "flash-perceiver"} == set(CONTESTANTS)
    for case in cases([64]):
        (picture,) = case.inputs().values()
        assert picture.dtype == getattr(torch, case.modalities[0].dtype)


def small(**changes: Any) -> Check:
    from ops.problems import PROBLEMS

    name = "masks of some contexts"
    return replace(parity._unless_failed(parity._small(name, *PROBLEMS[name], "chunked", CPU)), **changes)


def test_a_backend_that_is_right_passes_and_one_that_is_wrong_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert small().passed
    assert parity._long(200, torch.float32, torch.uint8, "chunked", CPU).passed
    original = chunked.ChunkedAttend.collect

    def wrong(self: Any, shift: Tensor | None, **options: Any) -> tuple[Tensor, Tensor]:
        total, mixed = original(self, shift, **options)
        return total, mixed * 1.0001

    monkeypatch.setattr(chunked.ChunkedAttend, "collect", wrong)
    assert small().verdict == "TOO FAR"
    assert parity._long(200, torch.float32, torch.float32, "chunked", CPU).verdict == "TOO FAR"


def test_what_a_backend_does_not_take_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    check = parity._long(50, torch.float32, torch.float32, "triton", CPU)
    assert check.passed
    assert check.verdict.startswith("does not take it: it runs on CUDA devices")


def test_kernels_that_failed_are_no_success_of_the_backend_that_took_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton, "_failures", ["no such instruction"])
    check = parity._unless_failed(Check("mask", "triton", 0.0, 1.0, "output"))
    assert not check.passed
    assert check.verdict == "FAILED: no such instruction"
    assert parity._unless_failed(Check("mask", "chunked", 0.0, 1.0, "output")).passed


@pytest.mark.parametrize("errors", [{"a": (0.0, 1.0), "b": (float("nan"), 1.0)}, {"a": (2.0, 1.0), "b": (0.0, 0.0)}])
def test_the_worst_result_counts(errors: dict[str, tuple[float, float]]) -> None:
    assert not parity._closest("problem", "triton", errors, 1.0).passed


@pytest.mark.parametrize("mode", [FORWARD, TRAIN])
@pytest.mark.parametrize("case", cases([25]), ids=lambda case: case.label)
def test_a_model_is_measured(case: Any, mode: str) -> None:
    found = measure.measure(ours.build(case), case, "cpu", mode, 1, 2, 60.0)
    assert len(found["times"]) == 2
    assert all(seconds > 0 for seconds in found["times"])
    assert found["peak"] >= found["before"] > 0
    assert found["failed"] == []


def results(**changes: Any) -> dict[str, Any]:
    told = {"mode": FORWARD, "note": "", "error": None, "before": 0, "peak": 10**9, "first_call": 1.0, "failed": []}
    measurements = [
        {"case": "1,000 tokens", "contestant": "ours", "times": [0.1, 0.1, 0.9], **told},
        {"case": "1,000 tokens", "contestant": "rival", "times": [0.3], **told, "failed": ["no kernel"]},
        {"case": "1,000 tokens", "contestant": "release-1.4.0", **told, "error": "out of memory"},
    ]
    checks = [Check("mask", "triton", 3e-6, 1e-6, "output"), Check("int64", "triton", refused="it does not read int64")]
    return {
        "command": "python -m benchmarks.gpu",
        "dry_run": False,
        "machine": {"GPU": "G"},
        "tiles": [{"precision": "half", "rows": 32, "tokens": 64, "warps": 8, "seconds": 0.02}],
        "checks": [check.to_json() for check in checks],
        "measurements": measurements,
        "graphs": [{"case": "1,000 tokens", "ways": {"CUDA graph": {"times": [0.01], "apart": 0.0}}}],
        **changes,
    }


def test_the_page_says_what_was_found(tmp_path: Path) -> None:
    report.save(results(), tmp_path, "gpu-G")
    page = (tmp_path / "gpu-G.md").read_text()
    assert "| mask | triton | output | 3.0e-06 | 1.0e-06 | TOO FAR |" in page
    assert "does not take it: it does not read int64" in page
    assert "| half | 32 | 64 | 8 | 20 ms |" in page
    assert "| 1,000 tokens | rival | 300 ms | 3.0 | 1.00 GB |" in page
    assert "KERNELS FAILED, chunked instead: no kernel" in page
    assert "| 1,000 tokens | release-1.4.0 |  |  |  |  | out of memory |" in page
    assert "| 1,000 tokens | CUDA graph | 10 ms | 0.0e+00 |" in page
    assert "dry run" not in page
    report.save(results(dry_run=True), tmp_path, "gpu-dry-run")
    assert "Its times mean nothing" in (tmp_path / "gpu-dry-run.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_can_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu"])
    with pytest.raises(SystemExit, match="--dry-run"):
        command.main()


def test_kernels_that_run_with_no_tiles_fail_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def tune(*_: object, **__: object) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(triton_tiles, "tune", tune)
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--dry-run", "--parts", "tune", "--output", str(tmp_path)])
    for name in ("TRITON_INTERPRET", "PERCEIVER_CACHE"):  # which a dry run sets
        monkeypatch.setenv(name, "1")
    with pytest.raises(SystemExit, match="a backend fails"):
        command.main()


@pytest.mark.nightly
def test_a_dry_run_goes_through_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import subprocess

    words = ["--dry-run", "--tokens", "25", "--contestants", "ours", "rival", "--output", str(tmp_path)]
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", *words], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu-dry-run.json").read_text())
    assert {one["precision"] for one in found["tiles"]} == {"single", "half"}
    assert {check["backend"] for check in found["checks"]} == {"triton", "chunked"}
    assert all(check["passed"] for check in found["checks"])
    assert len(found["measurements"]) == 12
    assert not any(measurement["error"] for measurement in found["measurements"])
    assert all(way["apart"] < 1e-5 for entry in found["graphs"][:1] for way in entry["ways"].values())
