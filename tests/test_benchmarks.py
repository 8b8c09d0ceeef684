"""The benchmark harness: tables, a worker, limits, and contestants that must give the same numbers."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ stands beside the package, not in it

from benchmarks import (
    choice,
    clock,
    compare,
    designs,
    epochs,
    kernel,
    long_films,
    one_row,
    peers,
    published,
    report,
    runner,
    split_input,
    worker,
)
from benchmarks.cases import FORWARD, GROUPS, TRAIN, Case, all_cases
from benchmarks.contestants import MODULES, SAME_NUMBERS, contestant
from benchmarks.contestants.dense import input_array
from benchmarks.contestants.libraries import bare

from perceiver_pytorch.interop.published_sizes import PUBLISHED
from perceiver_pytorch.tables import fit

LIMITS = runner.Limits(threads=1, memory=10**10, seconds=60)
QUICK = {case.name: case for case in all_cases(quick=True)}
MODELS = ("a: batch 3", "b: batch 8, float32", "d: batch 4", "e: 8 frames of 512")


def job(contestant: str, case: Case, mode: str) -> dict[str, Any]:
    values = {"contestant": contestant, "case": case.to_json(), "mode": mode}
    return {"kind": "measure", "repeats": 2, "budget": 10.0, **values}


def measured(contestant: str, times: list[float], **values: Any) -> dict[str, Any]:
    keys = {"group": "a", "case": "a: batch 1", "mode": FORWARD, "note": "", "frames": 0, "input": 0, "error": None}
    keys["published"] = False
    numbers = {"times": times, "first_call": 9.0, "before": 10**8, "peak": 2 * 10**9, "output": [1.0, -4.0]}
    return {**keys, "contestant": contestant, **numbers, **values}


def made_up() -> dict[str, Any]:
    """Results as a run of the command leaves them."""
    return {
        "command": "python -m benchmarks.compare",
        "machine": {"processor": "P", "cores": "2"},
        "settings": {"sizes": "full"},
        "peers": {"release-1.4.0": None, "flash-perceiver-0.2.0": "not installed: no wheel"},
        "floors": {"exp, float32, in cache": {"unit": "G/s", "median": 2.0, "best": 2.5}},
        "measurements": [
            measured("ours", [0.5, 0.4, 0.9], output=[1.0, -4.004]),
            measured("release-1.4.0", [10.0, 12.0, 11.0], note="a | b"),
            measured("rival", [], error="out of memory (over 16.0 GB)"),
            measured("perceiver-io", []),
            measured("ours", [2.0], case="e: 8 frames", group="e", frames=8, input=8 * 10**6),
        ],
        "skipped": [{"group": "a", "case": "a: batch 1", "contestant": "transformers", "reason": "images alone"}],
        "kernels": [{"case": "a: batch 1", "pairs": 10**9, "forward": [1.0], "both": [3.0]}],
    }


def test_a_table_compares_by_medians() -> None:
    table = next(t for t in report.tables(made_up()) if t.title.startswith("a:"))
    assert table.title == f"a: {GROUPS['a']}, forward"
    ours, release, rival, cut_off = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (ours["median"], ours["min-max"], ours["calls"]) == ("500 ms", "400 ms - 900 ms", "3")
    assert (ours["x release-1.4.0"], release["x release-1.4.0"], ours["x rival"]) == ("22.00", "1.00", "")
    assert (ours["first call"], ours["peak memory"]) == ("9 s", "2.00 GB")
    assert (ours["difference"], release["difference"]) == ("1.0e-03", "reference")
    assert (rival["median"], rival["note"]) == ("out of memory", "out of memory (over 16.0 GB)")
    assert (cut_off["median"], cut_off["note"]) == ("none", "interrupted")
    assert table.remarks == ["transformers: images alone"]


def test_tables_of_floors_frames_and_kernel() -> None:
    rows = {table.title.split(":")[0]: table.rows for table in report.tables(made_up())}
    assert rows["Floors"] == [("exp, float32, in cache", "2 G/s", "2.5 G/s")]
    assert rows["Per frame"] == [("8 frames", "ours", FORWARD, "250 ms", "1 MB", "237.50 MB")]
    assert rows["Our cross-attend alone"] == [("a: batch 1", "1000 M", "1 G/s", "0.50", "0.5 G/s", "0.25")]
    assert rows["Peers"] == [("release-1.4.0", "runs"), ("flash-perceiver-0.2.0", "not installed: no wheel")]


def test_results_are_saved_whole(tmp_path: Path) -> None:
    results = made_up()
    files = report.save(results, tmp_path / "results", "compare_2026-01-01")
    assert sorted(tmp_path.rglob("*.*")) == sorted(files)
    data, page = (path.read_text() for path in files)
    assert json.loads(data) == results
    assert "| batch 1 | release-1.4.0 | 11 s |" in page
    assert "a / b" in page
    assert all(len(row.split("|")) == len(report.COLUMNS) + 2 for row in page.splitlines() if "batch 1 |" in row[:12])


def test_cases_survive_json_and_cover_every_group() -> None:
    for case in (*all_cases(), *QUICK.values()):
        assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case
    assert {case.group for case in all_cases()} == {case.group for case in QUICK.values()} == set(GROUPS)
    assert len(QUICK) == len(all_cases())


def test_every_contestant_says_what_it_can_express() -> None:
    for module in map(contestant, MODULES):
        assert module.PEER is None or module.PEER in peers.PEERS
        for case in all_cases():
            assert module.unsupported(case) is None or len(module.unsupported(case)) > 10
            assert isinstance(module.note(case), str)


def test_a_worker_measures_ours() -> None:
    case = QUICK["a: batch 1"]
    answer = runner.run(job("ours", case, TRAIN), LIMITS)
    assert len(answer["times"]) == 2
    assert min(*answer["times"], answer["first_call"]) > 0
    assert answer["peak"] >= answer["before"] > 0
    expected = contestant("ours").build(case)(case.inputs()).flatten().tolist()
    assert report.relative_difference(answer["output"], expected) < 1e-5


@pytest.mark.parametrize("mode", [FORWARD, TRAIN])
def test_the_output_is_that_of_the_first_call(mode: str) -> None:
    case = QUICK["a: batch 1"]
    calls: list[torch.Tensor] = []

    class Counting(torch.nn.Linear):
        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            calls.append(super().forward(inputs["audio"].mean(1)))
            return calls[-1]

    answer = worker.measure(Counting(1, 10), case, mode, warm_ups=2, repeats=3, budget=10.0)
    assert len(calls) == 2 + 3
    assert answer["output"] == calls[0].flatten().tolist()
    assert calls[-1].requires_grad == (mode == TRAIN)
    assert torch.equal(calls[0], calls[-1]) == (mode == FORWARD)  # training steps change the weights


def test_the_cross_attend_alone_is_measured() -> None:
    case = QUICK["d: batch 4"]
    times = kernel.measure(case, repeats=2, budget=5.0)
    image = case.modalities[1]
    assert times["pairs"] == case.batch * case.arguments["num_latents"] * image.num_tokens
    assert len(times["forward"]) == len(times["both"]) == 2


def test_a_worker_over_a_limit_is_ended_and_says_so() -> None:
    case = QUICK["a: batch 1"]
    start = time.monotonic()
    little = runner.Limits(threads=1, memory=10**7, seconds=60)
    assert runner.run(job("ours", case, FORWARD), little)["error"].startswith(runner.OUT_OF_MEMORY)
    brief = runner.Limits(threads=1, memory=10**10, seconds=0.1)
    assert "time limit" in runner.run(job("ours", case, FORWARD), brief)["error"]
    assert time.monotonic() - start < 10


def test_other_processes_are_busy_and_end_with_the_run() -> None:
    with runner.busy(2) as others:
        assert [other.poll() for other in others] == [None, None]
    assert all(other.poll() is not None for other in others)


def test_a_worker_that_fails_gives_the_reason_without_folders() -> None:
    answer = runner.run({"kind": "measure", "contestant": "ours", "case": QUICK["a: batch 1"].to_json()}, LIMITS)
    assert answer == {"error": "KeyError: 'mode'"}
    assert (
        peers.without_paths("cannot import x (/a/b-c/d.py), at 3 tokens/s") == "cannot import x (d.py), at 3 tokens/s"
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_rival_gives_our_numbers(name: str) -> None:
    case = QUICK[name]
    ours, rival = contestant("ours").build(case), contestant("rival").build(case)
    inputs, targets = case.inputs(), case.targets()
    outputs = [model(inputs) for model in (ours, rival)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-5, atol=1e-6)
    for output in outputs:
        torch.nn.functional.cross_entropy(output, targets).backward()
    for key, parameter in bare(ours).named_parameters():
        torch.testing.assert_close(
            rival.get_parameter(key.replace(".", "/")).grad, parameter.grad, rtol=1e-4, atol=1e-6
        )
    assert sum(p.numel() for p in rival.parameters()) == sum(p.numel() for p in ours.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_input_array_is_that_of_our_contexts(name: str) -> None:
    case = QUICK[name]
    context, _ = kernel.problem(case)
    (modality,) = (m for m in case.modalities if m.num_tokens == context.num_tokens)
    array = input_array(case, {modality.name: context.data})
    torch.testing.assert_close(array, context.dense())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", [n for n, case in QUICK.items() if case.published and case.precision == "float32"])
def test_published_models_give_transformers_numbers(name: str) -> None:
    case = QUICK[name]
    models = [build(case).eval() for build in (published.theirs, published.ours)]
    theirs, ours = (model(case.inputs()) for model in models)
    assert report.relative_difference(ours.flatten().tolist(), theirs.flatten().tolist()) < 1e-5
    assert case.loss(ours).requires_grad
    assert sum(p.numel() for p in models[0].parameters()) == sum(p.numel() for p in models[1].parameters())


@pytest.mark.parametrize("group", "ghij")
def test_published_cases_have_the_published_sizes(group: str) -> None:
    (case,) = (case for case in all_cases() if case.group == group)
    given, sizes = case.arguments["sizes"], dict(PUBLISHED.values())[case.arguments["task"]]
    assert {name: given[name] for name in given} == {name: sizes[name] for name in given}


@pytest.mark.nightly
def test_all_that_ran_give_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command itself on the quick cases; peers are installed by pip."""
    compare.main(["--quick", "--threads", "1", "--cases", "b", "d", "--output", str(tmp_path)])
    (file,) = tmp_path.glob("*.json")
    results = json.loads(file.read_text())
    assert results["peers"]["release-1.4.0"] is None
    measurements = {(m["case"], m["mode"], m["contestant"]): m for m in results["measurements"]}
    assert {m["error"] for m in measurements.values()} == {None}
    for (case, mode, name), measurement in measurements.items():
        reference = measurements.get((case, mode, "release-1.4.0"))
        if name in SAME_NUMBERS and reference and "bfloat16" not in case:
            assert report.relative_difference(measurement["output"], reference["output"]) < 1e-5
    assert "reference" in capsys.readouterr().out


def test_factors_of_the_choice_are_fitted_to_what_was_measured() -> None:
    """On a machine where one way is ten times as fast as here, the fit finds that it is to be chosen."""
    pytest.importorskip("scipy")
    shapes = [shape for shape in choice.shapes() if not shape.training and max(shape.axes) <= 512][::3]
    for shape in shapes:
        for way in choice.WAYS:
            seconds = 1e-6 * shape.estimate(way)
            shape.seconds[way] = seconds / 10 if way == "chunked" else seconds
    factors = choice.fit(shapes, training=False, steps=300)
    for shape in shapes:
        estimates = {way: factors[way] @ shape.numbers(way) for way in choice.WAYS}
        chosen = min(estimates, key=lambda way: estimates[way])
        assert shape.seconds[chosen] <= 1.2 * min(shape.seconds.values())


def test_designs_are_compared_over_seeds(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    assert designs.part_of(tmp_path / "all.csv", 2, tmp_path).read_text().split() == ["a,b", "1,x", "3,z"]
    one = {"set": "films", "candidate": "paper", "seed": 0, "score": 0.5, "seconds": 2.0}
    results = [one, one | {"seed": 1, "score": 0.7}, one | {"candidate": "release", "seconds": 6.0}]
    lines = list(designs.rows(results))
    assert lines[0] == "| design | films | processor time |"
    assert lines[2] == "| paper | 0.600 ± 0.141 | 1.00 |"
    assert lines[3] == "| paper, 4 times as wide | – | 0.00 |"
    assert lines[-1] == "| release | 0.500 | 1.50 |"


def test_a_design_is_measured_on_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{i % 5},{'u' if i % 9 else 'v'}" for i in range(60)]  # skewed, where accuracy would not be chosen
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *lines]))
    small = {"target": "y", "epochs": 1, "depth": 1, "latent_dim": 16, "num_latents": 4}
    monkeypatch.setitem(designs.SETS, "small", designs.DataSet("t.csv", 1, "val_accuracy", small))
    found = designs.measured(tmp_path, "small", "paper, 4 times as wide", 0)
    assert 0 <= found["score"] <= 1
    assert found["seconds"] > 0


def test_the_time_of_one_row_is_divided_into_its_parts(tmp_path: Path) -> None:
    rows = [{"a": i % 5, "y": "uv"[i % 2]} for i in range(60)]
    run = fit(rows, "y", run=tmp_path / "r", epochs=1, depth=1, latent_dim=16, num_latents=4, verbose=False)
    totals, parts = one_row.measured(lambda: run.predict(rows[:1]), 3)
    assert [len(seconds) for seconds in (totals, *parts.values())] == [3] * (1 + len(one_row.PARTS))
    assert sum(map(sum, parts.values())) < sum(totals)
    assert one_row.told([0.002, 0.004, 0.003]) == "2.0 (3.0)"


def test_the_time_of_whole_epochs_is_divided_into_its_parts(tmp_path: Path) -> None:
    lines = [f"{i % 5},{'uv'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *lines]))
    small = {"depth": 1, "latent_dim": 16, "num_latents": 4, "batch_size": 8}
    found = dict(epochs.measured(epochs.Case("t", str(tmp_path / "t.csv"), "y", small), 3))
    assert {what: each.rows for what, each in found.items()} == {"fit": 3 * 8, "predict": 60, "evaluate": 60}
    for each in found.values():
        assert 0 < sum(each.parts.values()) <= each.processor + 0.1
        assert each.line("t").count("|") == 4 + len(epochs.PARTS)
    spent = {what: {part for part, seconds in each.parts.items() if seconds > 0} for what, each in found.items()}
    assert spent["fit"] >= {"batches", "contexts", "kernels", "latent blocks", "losses", "optimiser", "validation"}
    assert spent["predict"] & spent["evaluate"] >= {"decoding", "batches", "contexts", "kernels", "scores", "checks"}
    assert "optimiser" not in spent["predict"] | spent["evaluate"]


def test_sets_are_named_or_found_in_a_folder(tmp_path: Path) -> None:
    def asked(*tables: str, built_in: bool = False, folder: Path | None = None) -> list[tuple[str, str | None]]:
        given = argparse.Namespace(tables=tables, built_in=built_in, folder=folder, ignore=[])
        return [(case.name, case.target) for case in epochs.cases(given, tmp_path)]

    for name, header in (("movies", "id,title,label"), ("mine", "x,target"), ("other", "x,z")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.csv").write_text(header + "\n")
    assert asked("digits", "a/b.csv:y") == [("digits", None), ("b", "y")]
    assert asked(built_in=True) == [(name, None) for name in ("digits", "easy-vqa", "shapes")]
    assert asked(folder=tmp_path) == [("movies", "label"), ("mine", "target")]
    with pytest.raises(ValueError, match=r"a table is a built-in set .* or FILE:TARGET, got 'b\.csv'"):
        asked("b.csv")


def test_a_parts_time_is_without_those_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr(clock.time, "thread_time", lambda: next(times))
    parts = clock.Clock({"else": (), "kernels": ()})
    parts.timed("else", parts.timed("kernels", lambda: None))()
    assert parts.seconds == {"else": 1.0 + 4.0, "kernels": 2.0}


def test_a_whole_part_has_the_time_of_those_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr(clock.time, "thread_time", lambda: next(times))
    parts = clock.Clock({"validation": (), "kernels": ()}, ["validation"])
    parts.timed("validation", parts.timed("kernels", lambda: None))()
    assert parts.seconds == {"validation": 7.0, "kernels": 0.0}


def test_a_backward_pass_counts_where_its_results_came_from() -> None:
    parts = clock.Clock({"else": (), "early": (), "late": ()})
    seen = []
    x = torch.ones(3, requires_grad=True)
    early = parts.timed("early", lambda x: x * 2)(x)
    x.register_hook(lambda _: seen.append(parts._open.parts[-1]))
    early.register_hook(lambda _: seen.append(parts._open.parts[-1]))
    late = parts.timed("late", lambda x: x.exp())(early)
    late.register_hook(lambda _: seen.append(parts._open.parts[-1]))
    parts.timed("else", late.sum().backward)()
    assert seen == ["late", "early", "early"]


@pytest.mark.nightly
def test_what_crosses_the_network_is_what_the_docs_say() -> None:
    rows = [split_input.measured(2, tokens) for tokens in (1000, 2000)]
    assert [row["bytes"] for row in rows] == [split_input.expected_bytes()] * 2
    assert "| 2,000 | 2 | 67,072 |" in split_input.page(rows)


@pytest.mark.nightly
def test_a_long_film_takes_the_memory_of_a_short_one() -> None:
    short, long = (long_films.measured(seconds) for seconds in (70, 700))
    assert long["frames"] == 1400
    assert long["memory_mb"] < short["memory_mb"] + 40  # what a stem makes of all of its frames takes more
    assert "| 700 | 1,400 |" in long_films.page([long])


def test_the_parts_of_an_inner_loop_are_counted() -> None:
    """Per register of pairs, whichever the architecture; the loop with fewer multiply-adds is that over blocks."""
    x86 = """
.LBB0_1:
\tvmovups (%rax), %ymm1
\tvfmadd231ps (%rbx), %ymm1, %ymm2
\tvfmadd231ps 16(%rsp), %ymm1, %ymm3
\tvroundps $8, %ymm2, %ymm4
\tvroundps $8, %ymm3, %ymm5
\tvmovups %ymm4, 32(%rsp)
.LBB0_2:
\tvfmadd231ps (%rbx), %ymm1, %ymm2
\tvmulps %ymm1, %ymm2, %ymm2
\tvroundps $8, %ymm2, %ymm4
"""
    arm = """
.LBB0_1:
\tldp q0, q1, [x1]
\tfmla v2.4s, v0.4s, v1.4s
\tfadd v3.4s, v2.4s, v1.4s
\tfrintn v4.4s, v2.4s
\tstr q4, [sp, #16]
"""
    names = "multiply-adds", "other arithmetic", "loads", "stores", "spills"
    assert [kernel.inner_loop(x86)[name] for name in names] == [1, 1, 1.5, 0.5, 1]
    assert [kernel.inner_loop(arm)[name] for name in names] == [1, 2, 2, 1, 1]
    parts = dict(zip(names, [13.0, 9.0, 8.0, 1.0, 0.0], strict=True))
    avx512, avx2, aarch64 = (instructions.bound(parts) for instructions in kernel.INSTRUCTION_SETS)
    assert (avx512, avx2, aarch64) == (13, 6.5, 11)


def test_a_table_of_which_nobody_knows_what_to_predict_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["epochs", "nosuch"])
    with pytest.raises(SystemExit) as stop:
        epochs.main()
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "got 'nosuch'" in said.err
