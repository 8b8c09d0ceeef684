import dataclasses

import pytest

from perceiver_pytorch._settings import dump_config
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
    run, config = TableRun.create(tmp_path), tiny_config("table.csv")
    lines = dump_config(config).splitlines()
    run.config_file.write_text("\n".join(line for line in lines if "patience" not in line))
    default = dataclasses.replace(config.training, patience=15)
    assert run.config() == dataclasses.replace(config, training=default)


def test_what_is_not_there_yet_is_named(tmp_path):
    run = TableRun.create(tmp_path)
    with pytest.raises(ValueError, match=r"has no input_spec\.json; was its training stopped early"):
        run.spec()
    with pytest.raises(ValueError, match="has no model yet"):
        run.model()


def test_a_run_with_a_setting_of_a_kind_that_is_not_installed_says_so(tmp_path):
    run = TableRun.create(tmp_path / "run")
    run.config_file.write_text("data:\n  max_dna_length: 3\n")
    with pytest.raises(ValueError, match=r"config.yaml: data has no 'max_dna_length'.*install that package"):
        run.config()
