import dataclasses
import json
import re

import numpy as np
import pytest

from data_helpers import fitted, table_of
from perceiver_pytorch._settings import dump_config
from perceiver_pytorch.data import ClassTarget
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import tiny_config


def test_what_is_written_is_read(tmp_path):
    run, config = TableRun.create(tmp_path / "run"), tiny_config("table.csv", epochs=7)
    run.write_config(config)
    run.write_table({"rows": 3})
    run.write_metrics({"score": 0.5})
    assert TableRun.open(run.path) == run
    assert run.config() == config
    assert run.table() == {"rows": 3}
    assert run.metrics() == {"score": 0.5}


def test_a_setting_that_there_is_none_of_is_named(tmp_path):
    run = TableRun.create(tmp_path)
    run.config_file.write_text(dump_config(tiny_config("table.csv")).replace("epochs:", "epoch:"))
    with pytest.raises(ValueError, match=r"config\.yaml: .*training has no 'epoch'.*did you mean 'epochs'"):
        run.config()


def test_settings_of_later_versions_have_their_defaults(tmp_path):
    run, config = TableRun.create(tmp_path), tiny_config("table.csv", patience=7, average=0.9)
    lines = dump_config(config).splitlines()
    run.config_file.write_text("\n".join(line for line in lines if not re.search("patience|average", line)))
    default = dataclasses.replace(config.training, patience=None, average=0.0)  # earlier versions had no average
    assert run.config() == dataclasses.replace(config, training=default)


def test_what_is_not_there_yet_is_named(tmp_path):
    run = TableRun.create(tmp_path)
    with pytest.raises(ValueError, match=r"has no input_spec\.json; was its training stopped early"):
        run.spec()
    with pytest.raises(ValueError, match="has no model yet"):
        run.model()


def test_a_run_with_a_setting_of_a_kind_that_is_not_installed_says_so(tmp_path):
    run = TableRun.create(tmp_path / "run")
    run.config_file.write_text("data:\n  max_dna_length: 3\nmodel: {}\ntraining: {}\n")
    with pytest.raises(ValueError, match=r"config.yaml: data has no 'max_dna_length'.*install that package"):
        run.config()


def test_what_was_doubtful_is_read_back_and_nothing_of_early_versions(tmp_path):
    run = TableRun.create(tmp_path / "run")
    assert run.warnings() == []
    run.write_warnings(("one", "two"))
    assert run.warnings() == ["one", "two"]
    run.warnings_file.write_text('{"warnings": [1]}')
    with pytest.raises(ValueError, match="warnings must be"):
        run.warnings()
    run.table_file.touch()
    run.report_file.touch()
    names = [path.name for path in run.needed_to_predict]
    assert names == ["config.yaml", "input_spec.json", "config.json", "model.safetensors"]
    run.discard()
    assert list(run.path.iterdir()) == []


@pytest.mark.parametrize("several", [False, True])
def test_its_model_is_read_back_if_it_fits_what_was_learned(tmp_path, several):
    table = table_of(tmp_path, x=np.linspace(0, 1, 12).tolist(), y=["a", "b"] * 6)
    spec, _ = fitted(table, "y")
    if several:
        spec = dataclasses.replace(spec, targets=(*spec.targets, ClassTarget("z", ("u", "v", "w"), (1, 1, 1))))
    run, model = TableRun.create(tmp_path / "run"), build_model(spec, tiny_config("unused").model)
    run.write_model(model)
    with pytest.raises(ValueError, match=r"has no input_spec\.json"):
        run.model()
    run.write_spec(spec)
    assert run.spec() == spec
    assert type(run.model()) is type(model)
    assert not run.model().training
    other = dataclasses.replace(spec, targets=(ClassTarget("y", ("a", "b", "c"), (1, 1, 1)), *spec.targets[1:]))
    run.write_spec(other)
    with pytest.raises(ValueError, match=r"input_spec\.json.*targets must be"):
        run.model()
    run.spec_file.write_text(json.dumps({"targets": 3}))
    with pytest.raises(ValueError, match=r"input_spec\.json"):
        run.spec()
