"""Whole runs on a small table: what they leave behind, and that a stopped run goes on to the same result."""

import dataclasses
import html
import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file

from data_helpers import fitted, shades, table_of, video
from old_runs import TIMES
from perceiver_pytorch import BlendedPerceiver
from perceiver_pytorch.data import DataError, Table, TableDataset, load_table
from perceiver_pytorch.data.choice import Choice
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.job import INTERRUPTED, run_job
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.table import worth
from perceiver_pytorch.training.table.module import TableModule
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.task import TableTask
from test_contracts import compare, what_a_run_tells
from training_helpers import SILENT, fit, tiny_config, write_mixed_table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_mixed_table(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    run = TableRun.create(tmp_path_factory.mktemp("runs") / "whole")
    config = tiny_config(table, epochs=3)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = fit(config, run, reporter=SILENT)
    return run, config, outcome


def weights(run):
    return load_file(run.path / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_leaves_everything_behind(finished):
    run, config, outcome = finished
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    names = {re.sub(r"events\..*", "events", name) for name in names}
    compare("run_folder.txt", "\n".join(sorted(names)) + "\n")
    compare("told_classes.txt", what_a_run_tells(run))
    assert config.model.depth is None  # the table decides
    depth = run.config().model.depth
    assert depth in (1, 2)
    chosen = dataclasses.replace(config.training, validate_rows=8)
    asked = dataclasses.replace(config, training=chosen)
    assert run.config() == dataclasses.replace(asked, model=dataclasses.replace(config.model, depth=depth))
    assert outcome.stopped is None
    assert json.loads(run.metrics_file.read_text()) == run.metrics() == outcome.metrics
    assert [row["epoch"] for row in read_history(run.history_file)] == [1, 2, 3]


def test_the_model_is_the_best_epochs(finished):
    run, _, _ = finished
    averaged = torch.load(run.best, weights_only=True)["averaged"]
    saved = weights(run)
    learned = averaged.keys() - {"blend"}  # how much heads count is learned after the last epoch
    assert len(learned) == len(averaged) - 1 > 0
    assert all(torch.equal(saved[key], averaged[key]) for key in learned)
    model = BlendedPerceiver.from_pretrained(run.path)
    assert same(dict(model.state_dict()), saved)


def test_the_report_opens_without_a_network_and_tells_the_result(finished):
    run, _, outcome = finished
    page = run.report_file.read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    assert f"{outcome.metrics['accuracy']:.3f}" in page
    for word in (
        "Confusion matrix",
        "Learning curves",
        "combination of modalities",
        "picture",
        "sound",
        "note",
        "numbers",
        "<svg",
        "data:image",
    ):
        assert word in page
    assert set(outcome.metrics["modalities"]) == {"picture", "sound", "note", "numbers", "categories"}


def test_metrics_add_up(finished):
    _, _, outcome = finished
    confusion = torch.tensor(outcome.metrics["confusion"])
    assert confusion.sum() == outcome.metrics["rows"] == 8
    assert outcome.metrics["accuracy"] == pytest.approx(float(confusion.diag().sum() / confusion.sum()))
    assert outcome.metrics["majority_accuracy"] == pytest.approx(float(confusion.sum(1).max() / confusion.sum()))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("after", [3, *(pytest.param(after, marks=pytest.mark.nightly) for after in (4, 6))])
def test_a_stopped_run_goes_on_to_the_same_weights(finished, tmp_path, monkeypatch, after):
    """After 3 of 4 steps of an epoch, at its end, and in the next one."""
    whole, config, _ = finished
    steps = iter(range(1000))
    original = Stopper.on_train_batch_start

    def stop_early(self, trainer, module, batch, batch_idx):
        if next(steps) == after:
            self.request("enough")
        original(self, trainer, module, batch, batch_idx)

    run = TableRun.create(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        outcome = fit(config, run, reporter=SILENT)
    assert outcome.stopped == "enough"
    assert "enough" in run.report_file.read_text()
    assert torch.load(run.last, weights_only=True)["global_step"] == after

    outcome = fit(run.config(), TableRun.open(run.path), resume=True, reporter=SILENT)
    assert outcome.stopped is None
    assert same(weights(run), weights(whole))
    last = [torch.load(r.last, weights_only=True) for r in (run, whole)]
    assert same(*(checkpoint["state_dict"] for checkpoint in last))
    assert last[0]["global_step"] == last[1]["global_step"]
    drop = {"seconds"}
    histories = [[{k: v for k, v in row.items() if k not in drop} for row in read_history(r.history_file)]
                 for r in (run, whole)]  # fmt: skip
    assert histories[0] == histories[1]


@pytest.mark.usefixtures("quick")
def test_a_run_whose_rows_share_steps_by_length_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    lines = [
        f"{'word ' * (1 + i * 7 % 30)}w{i % 9},{'uv'[i % 2]},{'val' if i % 5 == 0 else 'train'}" for i in range(70)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,split", *lines]))
    asked = tiny_config(tmp_path / "t.csv", "y", epochs=None, steps=12, validate_every=5, by_length=True)
    whole, stopped = (TableRun.create(tmp_path / name) for name in ("whole", "stopped"))
    fit(asked, whole)
    steps = iter(range(1000))
    original = Stopper.on_train_batch_start

    def stop_early(self, trainer, module, batch, batch_idx):
        if next(steps) == 7:
            self.request("enough")
        original(self, trainer, module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        fit(asked, stopped)
    config = stopped.config()
    late = dataclasses.replace(config, data=dataclasses.replace(config.data, cache_mb=0))  # lengths are found anew
    fit(late, TableRun.open(stopped.path), resume=True)
    assert same(weights(stopped), weights(whole))


@pytest.mark.usefixtures("quick")
def test_a_run_goes_on_with_the_table_that_it_began_with_alone(tmp_path, monkeypatch):
    table = write_mixed_table(tmp_path / "data")
    run = TableRun.create(tmp_path / "run")
    steps = iter(range(1000))

    def stop_early(self, trainer, module, batch, batch_idx):
        if next(steps) == 3:
            self.request("enough")

    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        fit(tiny_config(table), run, reporter=SILENT)
    text = table.read_text()
    table.write_text(text.replace("here", "away", 1))
    last = run.last.read_bytes()
    with pytest.raises(
        ValueError, match=r"mixed\.csv has changed since .*run began: the cells of 'place' have changed"
    ):
        fit(run.config(), run, resume=True, reporter=SILENT)
    assert run.last.read_bytes() == last  # nothing is lost by it
    table.write_text(text)
    taken = run.table_file.read_bytes()
    run.table_file.unlink()  # as runs of earlier versions
    assert fit(run.config(), run, resume=True, reporter=SILENT).stopped is None
    assert run.table_file.read_bytes() == taken
    (tmp_path / "data/1.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="the files of 'sound' have changed"):
        fit(run.config(), run, resume=True, reporter=SILENT)


@pytest.mark.usefixtures("quick")
def test_a_seed_fixes_the_weights_and_another_changes_them(finished, table, tmp_path):
    whole, config, _ = finished
    again = TableRun.create(tmp_path / "again")
    fit(config, again, reporter=SILENT)
    assert same(weights(again), weights(whole))
    other = TableRun.create(tmp_path / "other")
    fit(tiny_config(table, epochs=3, seed=1), other, reporter=SILENT)
    assert not same(weights(other), weights(whole))


@pytest.mark.usefixtures("quick")
def test_an_interrupt_saves_and_measures_nothing(table, tmp_path, monkeypatch):
    original = Stopper.on_train_batch_start

    def interrupt(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 2:
            self.request(INTERRUPTED)
        original(self, trainer, module, batch, batch_idx)

    monkeypatch.setattr(Stopper, "on_train_batch_start", interrupt)
    run = TableRun.create(tmp_path / "run")
    assert fit(tiny_config(table), run, reporter=SILENT).stopped == INTERRUPTED
    assert run.last.is_file()
    assert not run.metrics_file.exists()
    with pytest.raises(ValueError, match=r"no model yet.*--resume"):
        run.model()


@pytest.mark.usefixtures("quick")
def test_a_time_limit_ends_training_and_measures(table, tmp_path):
    run = TableRun.create(tmp_path / "run")
    outcome = fit(tiny_config(table, epochs=500), run, deadline=Deadline(1.0), reporter=SILENT)
    assert "time limit" in outcome.stopped
    assert outcome.metrics["epochs"] < 500
    assert run.report_file.is_file()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options", [{"optimizer": "lamb", "label_smoothing": 0.1}, {"token_dropout": 0.3, "modality_dropout": 0.3}]
)
def test_training_options_train(table, tmp_path, options):
    outcome = fit(tiny_config(table, epochs=1, **options), TableRun.create(tmp_path / "run"), reporter=SILENT)
    assert outcome.metrics["epochs"] == 1


@pytest.mark.nightly
def test_training_learns_what_a_picture_shows(table, tmp_path):
    outcome = fit(tiny_config(table, epochs=30), TableRun.create(tmp_path / "run"), reporter=SILENT)
    assert outcome.metrics["accuracy"] >= 0.8
    assert outcome.metrics["modalities"]["picture"]["without"] < outcome.metrics["accuracy"]


@pytest.mark.usefixtures("quick")
def test_films_with_sound_that_is_not_read_are_told_of_once(tmp_path):
    data = video(shades(4), sound=np.zeros(4000))
    mute = video(shades(4))
    rows = pyarrow.table({"film": [data, mute] * 8, "label": ["a", "b"] * 8})
    pyarrow.parquet.write_table(rows, tmp_path / "films.parquet")
    config = tiny_config(tmp_path / "films.parquet", epochs=1)
    told = {}
    for kind in (None, "video", "video+audio"):
        said: list[str] = []
        data = dataclasses.replace(config.data, columns={"film": kind} if kind else {})
        run = TableRun.create(tmp_path / str(kind))
        fit(dataclasses.replace(config, data=data), run, reporter=Reporter(said.append, said.append))
        told[kind] = [line for line in said if "--column film=video+audio reads it" in line]
    assert {kind: len(lines) for kind, lines in told.items()} == {None: 1, "video": 0, "video+audio": 0}


@pytest.mark.usefixtures("quick")
def test_a_table_of_many_columns_is_described_in_a_few_words(tmp_path, monkeypatch):
    monkeypatch.setattr(worth, "MOST_COLUMNS", 3)
    rng = np.random.default_rng(0)
    columns = {f"n{i}": rng.normal(size=20) for i in range(600)}
    columns |= {f"c{i}": ["u", "v", "w", "w"] * 5 for i in range(30)} | {f"e{i}": [None] * 20 for i in range(30)}
    pyarrow.parquet.write_table(
        pyarrow.table({**columns, "": [None] * 20, "y": ["a", "b"] * 10}), tmp_path / "t.parquet"
    )
    said: list[str] = []
    config = tiny_config(tmp_path / "t.parquet", target="y", epochs=1)
    fit(config, TableRun.create(tmp_path / "run"), reporter=Reporter(said.append, said.append))
    assert max(map(len, said)) < 250
    text = "\n".join(said)
    assert "n7 .. and 592 more" in text
    assert "(3 to 3 values)" in text
    assert "not used: e0, e1" in text
    with pytest.raises(DataError, match=r"no column 'z'.*n19 \.\. and 642 more$"):
        fit(tiny_config(tmp_path / "t.parquet", target="z"), TableRun.create(tmp_path / "other"), reporter=SILENT)


def test_a_full_folder_is_not_written_into(tmp_path):
    (tmp_path / "something").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        TableRun.create(tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_bad_row_stops_or_is_counted(table, tmp_path):
    folder = tmp_path / "broken"
    path = write_mixed_table(folder)
    (folder / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"row 1\b.*picture"):
        fit(tiny_config(path), TableRun.create(tmp_path / "stop"), reporter=SILENT)
    config = tiny_config(path, epochs=1)
    config = type(config)(
        data=type(config.data)(**{**vars(config.data), "on_error": "skip"}),
        model=config.model,
        training=config.training,
    )
    run = TableRun.create(tmp_path / "skip")
    assert fit(config, run, reporter=SILENT).metrics["bad_rows"] == 1
    assert "Rows left out" in run.report_file.read_text()


def in_memory(path, **changed):
    """The table at ``path`` as one that was never a file; its pictures and sounds lie in the same folder."""
    read = load_table(str(path))
    rows = read.rows
    for name, values in changed.items():
        rows = rows.set_column(rows.column_names.index(name), name, pyarrow.array(values))
    return Table("my table", read.root, rows)


def test_a_table_in_memory_is_learned_as_its_file_is(finished, table, tmp_path):
    whole, config, _ = finished
    run = TableRun.create(tmp_path / "run")
    named = dataclasses.replace(config, data=dataclasses.replace(config.data, table="my table"))
    outcome = run_job(TableTask(named, in_memory(table)), run, reporter=SILENT)
    assert same(weights(run), weights(whole))
    other = dict.fromkeys({*TIMES, "verdict"})  # what it advises is a call there, and a command here
    assert {**outcome.metrics, **other} == {**whole.metrics(), **other}
    says = [[each["says"] for each in metrics["verdict"]["findings"]] for metrics in (outcome.metrics, whole.metrics())]
    assert says[0] == says[1]
    assert run.table() == whole.table()
    assert run.config().data.table == "my table"
    assert "from my table" in run.report_file.read_text()


@pytest.mark.usefixtures("quick")
def test_a_run_on_a_table_in_memory_goes_on_with_that_table_alone(table, tmp_path, monkeypatch):
    run, config = TableRun.create(tmp_path / "run"), tiny_config("my table")
    steps = iter(range(1000))

    def stop_early(self, trainer, module, batch, batch_idx):
        if next(steps) == 3:
            self.request("enough")

    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        run_job(TableTask(config, in_memory(table)), run, reporter=SILENT)
    other = in_memory(table, place=["away"] * 48)
    with pytest.raises(ValueError, match=r"my table has changed since .*run began: the cells of 'place' have changed"):
        run_job(TableTask(run.config(), other), run, resume=True, reporter=SILENT)
    assert run_job(TableTask(run.config(), in_memory(table)), run, resume=True, reporter=SILENT).stopped is None


def test_a_table_in_memory_needs_a_target(table, tmp_path):
    run = TableRun.create(tmp_path / "run")
    with pytest.raises(ValueError, match=r"which column is to be predicted\? Columns: picture, sound, .*label"):
        run_job(TableTask(tiny_config("my table", target=""), in_memory(table)), run, reporter=SILENT)
    assert not list(run.path.iterdir())


@pytest.mark.usefixtures("quick")
def test_three_positives_of_many_rows_are_no_perfect_score(tmp_path):
    rows = [f"{i % 7},{'pos' if i in (40, 130, 250) else 'neg'}" for i in range(300)]
    (tmp_path / "few.csv").write_text("\n".join(["a,y", *rows]))
    run, said = TableRun.create(tmp_path / "run"), []
    reporter = Reporter(say=said.append, warn=said.append)
    metrics = fit(tiny_config(tmp_path / "few.csv", target="y", batch_size=64), run, reporter=reporter).metrics
    assert [sum(row) for row in metrics["confusion"]] == [30, 1]
    assert metrics["score_name"] == "auroc"
    assert metrics["intervals"]["auroc"]["high"] - metrics["intervals"]["auroc"]["low"] > 0.4
    (rare,) = [text for text in said if "'pos' (3 rows in all)" in text]
    page = run.report_file.read_text()
    assert html.escape(rare).replace("&#x27;", "&#39;") in page
    assert "the best by validation AUROC" in page
    assert page.partition("<body>")[2].lstrip().startswith('<p class="first">This model is hardly trained: ')


@pytest.mark.usefixtures("quick")
def test_of_equal_epochs_the_one_of_the_smaller_loss_is_kept(table, tmp_path, monkeypatch):
    monkeypatch.setattr("perceiver_pytorch.training.table.module.score", lambda *_: 0.5)
    losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(TableModule, "_loss", lambda self, outputs, *_: next(losses) + 0 * outputs["label"].sum())
    monkeypatch.setattr(TableModule, "training_step", lambda self, batch, _: self(batch)["label"].sum())
    outcome = fit(tiny_config(table, epochs=3), TableRun.create(tmp_path / "run"), reporter=SILENT)
    assert outcome.metrics["trained"]["best_epoch"] == 2


def test_a_run_that_began_before_there_were_other_rules_keeps_its_own(finished, tmp_path):
    run, config, _ = finished
    old = TableRun(tmp_path)
    text = re.sub(r"  (choose_by|val_draw): .*\n", "", run.config_file.read_text())
    old.config_file.write_text(text)
    assert old.config().data.val_draw == "proportional"
    assert old.config().training.choice == Choice("plain")
    assert run.config().training.choice == Choice("suited") == config.training.choice


@pytest.mark.usefixtures("quick")
def test_what_was_lost_or_doubtful_stays_with_the_run(tmp_path):
    lines = [f"{i * 7 % 30},{i * 14 % 60},{'uvw'[i // 25]},{['train', 'val'][i > 49]},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("x,twice,word,split,y\n" + "\n".join(lines))
    told: list[str] = []
    config, run = tiny_config(tmp_path / "t.csv", target="y", epochs=1), TableRun.create(tmp_path / "run")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, target="twice"))
    outcome = fit(config, run, reporter=Reporter(told.append, told.append))
    unseen = "10 of 10 val rows: cells of 'word' have values that the train rows did not have: w"
    proportional = next(line for line in told if line.startswith("column 'x' is proportional to 'twice'"))
    assert unseen in told
    assert {unseen, proportional} <= set(outcome.metrics["warnings"])
    assert proportional in run.warnings()
    (loss,) = (loss for loss in outcome.metrics["losses"] if loss["what"] == "unseen")
    assert (loss["split"], loss["column"], loss["rows"], loss["values"]) == ("val", "word", 10, ["w"])
    page = run.report_file.read_text()
    lost = page.index("What was lost or doubtful")
    assert lost < page.index("is proportional to", lost) < page.index("What each modality")
    again = fit(config, run, resume=True, reporter=SILENT)
    assert again.metrics["warnings"] == outcome.metrics["warnings"]
    assert again.metrics["losses"] == outcome.metrics["losses"]
    run.warnings_file.unlink()  # as of a run of an earlier version
    assert fit(config, run, resume=True, reporter=SILENT).metrics["warnings"] == [unseen]


def task_of(folder, rows, **training):
    """A task whose data are prepared: numbers and words, so many rows in each split."""
    count = sum(rows.values())
    columns = {
        "x": [i / 7 for i in range(count)],
        "kind": ["u", "v", "w"] * (count // 3),
        "y": ["a", "b"] * (count // 2),
    }
    table = table_of(folder, **columns)
    spec, _ = fitted(table, "y")
    task, start = TableTask(tiny_config("made here", target="y", **training)), 0
    datasets = {}
    for name, size in rows.items():
        datasets[name] = TableDataset(table, np.arange(start, start + size), spec)
        start += size
    task.data = SimpleNamespace(
        config=task.config, source=None, spec=spec, datasets=datasets, warnings=["doubt"], fingerprint={"rows": count}
    )
    return task


@pytest.mark.parametrize(
    ("rows", "measured"),
    [({"train": 20, "val": 256, "test": 0}, None), ({"train": 20, "val": 256}, 1), ({"train": 19, "val": 257}, 2)],
)
def test_what_is_trained_validated_and_measured_on(tmp_path, rows, measured):
    """With two modalities there are three combinations; 256 rows are a batch.

    Heads are weighed on validation rows: with each of the three combinations of heads once more. Some of the train rows
    are measured on as well, which are one batch, and each of two columns is permuted eight times. Calibrating answers
    the validation rows once more.
    """
    rows = {name: size for name, size in rows.items() if size}
    whole = measured or 1
    others = 1 + 3 * whole + 15 + whole + 3  # train rows, calibration, columns, latents of train rows
    loaders = task_of(tmp_path, rows, epochs=7, head_weight=0).loaders()
    assert loaders.measured == (3 * whole + others, whole)
    weighed = 3 * whole
    loaders = task_of(tmp_path, rows, epochs=7).loaders()
    assert loaders.measured == (3 * whole + weighed + others, whole)
    assert (loaders.closing, loaders.steps, loaders.rounds) == (4.0, 21, 7)
    assert len(loaders.val) == 1  # within training, no more than 256 rows where that is more than it reads in a round
    assert len(loaders.train) == 3  # of 8 rows
    assert [type(callback).__name__ for callback in loaders.callbacks] == ["DataCheckpoint"]
    order = loaders.train.sampler.batches
    assert (order.seed, order.batch_size, order.parts) == (0, 8, None)


def test_test_rows_are_measured_where_there_are_any(tmp_path):
    task = task_of(tmp_path, {"train": 12, "val": 12, "test": 258})
    split, dataset = task._measured()
    assert (split, len(dataset)) == ("test", 258)
    closer = 4 + 3 + 16  # calibration, latents of train rows, columns
    # Heads are weighed on validation rows, which are one batch.
    assert task.loaders().measured == (6 + 3 + 1 + closer, 2)
    del task.data.datasets["test"]
    assert task._measured() == ("validation", task.data.datasets["val"])


def test_a_model_and_its_rate_are_told(tmp_path):
    task, said = task_of(tmp_path, {"train": 12, "val": 12}, lr=None), []
    module = task.module(Reporter(said.append, said.append))
    assert said[1:] == ["peak learning rate: 0.004 (for fresh weights)"]
    assert said[0] == module.model.summary().splitlines()[0]
    assert module.lr == 0.004


def test_what_a_resumed_run_compares_with_is_written_once(tmp_path):
    task, run = task_of(tmp_path, {"train": 12, "val": 12}), TableRun.create(tmp_path / "run")
    task.begin(run)
    assert (run.table(), run.warnings(), run.spec()) == ({"rows": 24}, ["doubt"], task.data.spec)
    task.data.warnings, task.data.fingerprint = ["another"], {"rows": 0}
    task.begin(run)
    assert (run.table(), run.warnings()) == ({"rows": 24}, ["doubt"])
    run.table_file.unlink()  # as a run of an early version
    task.begin(run)
    assert (run.table(), run.warnings()) == ({"rows": 0}, ["doubt"])
    run.spec_file.unlink()
    task.begin(run)
    assert (run.table(), run.warnings()) == ({"rows": 0}, ["another"])
