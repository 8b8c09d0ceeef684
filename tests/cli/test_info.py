"""``perceiver info``: what runs, models and tables are, for people and as JSON."""

import json

import pytest
import torch

from cli_helpers import perceiver
from training_helpers import write_targets_table


def facts(*arguments, cwd):
    return json.loads(perceiver("info", *arguments, "--json", cwd=cwd).stdout)


def test_a_run_says_what_it_reads_predicts_and_scores(folder, run):
    found = facts("first", cwd=folder)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (found["what"], found["state"]) == ("run of perceiver fit", "finished")
    assert found["targets"] == [{"column": "label", "kind": "class", "what": "2 classes"}]
    assert [each["kind"] for each in found["inputs"]] == ["image", "audio", "words", "number", "category"]
    assert found["rows"] == {"train": 32, "val": 8, "test": 8}
    assert found["model"]["parameters"] == metrics["parameters"]
    assert found["training"]["steps"] == metrics["trained"]["steps"]
    (scores,) = found["scores"]["targets"]
    assert scores["accuracy"]["value"] == metrics["accuracy"]
    assert scores["accuracy"]["low"] == metrics["intervals"]["accuracy"]["low"]
    assert scores["accuracy of majority class"]["value"] == metrics["majority_accuracy"]
    assert found["versions"] == metrics["versions"]
    assert found["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    text = perceiver("info", "first", cwd=folder).stdout
    assert "  picture " in text
    assert f"{metrics['parameters']:,}" in text


def test_a_run_without_a_result_says_how_to_go_on(folder, run, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r/config.yaml").write_text((run / "config.yaml").read_text())
    found = facts("r", cwd=tmp_path)
    assert found["state"] == "not finished; go on with: perceiver fit --resume r"
    assert found["model"] == {}


def test_a_saved_model_says_its_class_and_sizes(tmp_path):
    from small_models import build

    model = build("Perceiver")
    model.save_pretrained(tmp_path / "m")
    found = facts("m", cwd=tmp_path)
    assert found["what"] == "saved model: Perceiver"
    assert found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["loads"] == "as a Perceiver"
    assert found["bytes"] == (tmp_path / "m/model.safetensors").stat().st_size


def test_a_published_checkpoint_is_known_by_its_configuration(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    found = facts(".", cwd=tmp_path)
    assert found["what"] == "checkpoint in transformers' format: bert"
    assert found["loads"].startswith("no: it has no weights")


def test_weights_alone_are_counted_and_never_unpickled(tmp_path):
    torch.save({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "w.pt")
    found = facts("w.pt", cwd=tmp_path)
    assert (found["parameters"], found["tensors"]) == (17, 2)
    assert "perceiver convert w.pt" in found["next"]
    (tmp_path / "bad.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    done = perceiver("info", "bad.pt", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "cannot be read as weights" in done.stderr


def test_a_table_says_its_columns_and_splits(tmp_path):
    write_targets_table(tmp_path)
    found = facts("targets.csv", cwd=tmp_path)
    kinds = {each["column"]: each["kind"] for each in found["columns"]}
    assert kinds == {"x": "number", "z": "number", "side": "category", "tags": "set", "weight": "number",
                     "split": "split"}  # fmt: skip
    assert {each["column"]: each["missing"] for each in found["columns"]}["x"] == 7
    assert found["splits"] == {"train": 40, "val": 10, "test": 10}
    assert "targets" not in found


def test_a_target_says_its_kind_and_how_rows_would_be_divided(tmp_path):
    write_targets_table(tmp_path)
    found = facts("targets.csv", "--target=side", cwd=tmp_path)
    (target,) = found["targets"]
    assert target["kind"] == "class"
    assert target["train_rows"].startswith(("left: ", "right: "))
    assert found["splits"] == {"train": 40, "val": 10, "test": 10}
    assert found["next"] == "perceiver plan targets.csv --target side"


@pytest.mark.parametrize(("what", "message"), [("nowhere.csv", "no such file"), ("empty", "nor is it a run folder")])
def test_what_is_nothing_is_told(tmp_path, what, message):
    (tmp_path / "empty").mkdir()
    done = perceiver("info", what, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_text_is_no_table(tmp_path):
    (tmp_path / "t.txt").write_text("hello")
    assert facts("t.txt", cwd=tmp_path)["next"] == "perceiver language t.txt"


def test_a_folder_that_holds_no_model_is_told_both_ways(folder, run):
    done = perceiver("predict", ".", "mixed.csv", "-o", "none.csv", cwd=folder, check=False)
    assert "is not a run folder: it has no config.yaml; nor is it an export: it has no bundle.json" in done.stderr
