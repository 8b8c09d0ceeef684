"""What a trained cell tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiment_helpers import TEXT, experiment, write_table
from perceiver_pytorch.experiments.cells import all_cells
from perceiver_pytorch.experiments.training import KeptRows, forget_peak_memory, metric_of, peak_memory_mb, train_cell
from perceiver_pytorch.training.table import task


def test_a_cell_tells_metrics_costs_and_history_and_leaves_no_folder(tmp_path: Path) -> None:
    write_table(tmp_path)
    cell = all_cells(experiment(), data=tmp_path)[0]
    left = tmp_path / "run"
    left.mkdir()
    (left / "config.yaml").write_text("of a process that was killed")
    told = train_cell(cell, left, ("score", "loss", "rmse"))  # a class has no rmse
    assert told["metrics"].keys() == {"score", "loss"}
    assert (told["split"], told["steps"]) == ("test", 2)
    assert min(told[name] for name in ("parameters", "operations", "seconds", "cpu_seconds", "memory_mb")) > 0
    assert told["history"][-1]["val_loss"] > 0
    assert not left.exists()
    again = train_cell(cell, left, ("score", "loss"), keep=True)
    assert again["metrics"] == told["metrics"]
    assert (left / "model.safetensors").is_file()
    with pytest.raises(ValueError, match="no metric 'rmse'"):
        train_cell(cell, left, ("rmse", "score"))


def test_a_cell_pays_for_nothing_that_its_result_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paid(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("learn_calibration", "measure_worth", "with_maps"):
        monkeypatch.setattr(task, name, paid)
    write_table(tmp_path)
    train_cell(all_cells(experiment(), data=tmp_path)[0], tmp_path / "run", ("score",))


def test_rows_that_are_kept_change_no_result(tmp_path: Path) -> None:
    write_table(tmp_path)
    every = all_cells(experiment(), data=tmp_path)
    cells = [cell for cell in every if cell.levels in (every[0].levels, every[-1].levels)]  # two of each seed
    names, kept, found = ("score", "loss"), KeptRows(), []
    for cell in cells:
        before = kept.data
        found.append(train_cell(cell, tmp_path / "run", names, kept=kept))
        assert kept.data is not None
        is_first_of_seed = cell.levels == cells[0].levels
        assert (kept.data is before) != is_first_of_seed
    alone = [train_cell(cell, tmp_path / "run", names) for cell in cells]
    assert [told["metrics"] for told in found] == [told["metrics"] for told in alone]
    losses = [[[row["val_loss"] for row in told["history"]] for told in each] for each in (found, alone)]
    assert losses[0] == losses[1]
    other = replace(cells[-1].config, data=replace(cells[-1].config.data, most_rows={"train": 9}))
    assert kept.data_for(cells[-1].config) is not None
    assert kept.data_for(other) is None


def test_modalities_are_measured_where_a_metric_asks_for_them(tmp_path: Path) -> None:
    write_table(tmp_path)
    cell = all_cells(experiment(TEXT.replace("ignore: [number]", "ignore: []")), data=tmp_path)[0]
    told = train_cell(cell, tmp_path / "run", ("score", "modalities.words.alone"))
    assert told["metrics"].keys() == {"score", "modalities.words.alone"}
    assert train_cell(cell, tmp_path / "run", ("score",))["metrics"]["score"] == told["metrics"]["score"]


def test_metrics_are_found_by_their_names() -> None:
    metrics = {"score": 1, "inner": {"f1": 0.5}, "rows": 4, "split": "test", "yes": True}
    assert metric_of(metrics, "inner.f1") == 0.5
    for name in ("f1", "inner", "split", "yes"):
        with pytest.raises(ValueError, match=rf"no metric '{name}' of this target; there are score, rows"):
            metric_of(metrics, name)


def test_memory_is_in_megabytes() -> None:
    assert 50 < (peak_memory_mb() or 100) < 100_000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak begins anew on Linux alone")
def test_memory_of_an_earlier_cell_does_not_count() -> None:
    before = peak_memory_mb() or 0
    large = np.ones(40 << 20)  # 320 MB
    assert (peak_memory_mb() or 0) > before + 200 * bool(large[0])
    del large
    forget_peak_memory()
    assert (peak_memory_mb() or 0) < before + 100
