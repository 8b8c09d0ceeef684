import numpy as np
import pytest

from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.table.run import TableRun
from training_helpers import tiny_config


@pytest.fixture
def run(tmp_path):
    run = LanguageRun.create(tmp_path / "run")
    run.write_config(LanguageConfig(objective="masked"))
    return run


def text(words):
    return np.frombuffer(words, dtype=np.uint8)


def test_its_configuration_is_read_back(run):
    assert run.config() == LanguageConfig(objective="masked")


def test_it_goes_on_with_its_text_alone(run):
    run.check_text(text(b"any, as none is kept yet"))
    run.write_text(text(b"a text"))
    run.check_text(text(b"a text"))
    with pytest.raises(DataError, match=r"began with another text \(of 6 bytes; this one has 6\)"):
        run.check_text(text(b"a test"))


def test_it_is_told_from_a_run_on_a_table(run, tmp_path):
    other = TableRun.create(tmp_path / "other")
    other.write_config(tiny_config("table.csv"))
    assert LanguageRun.is_at(run.path)
    assert LanguageRun.open_language(run.path) == run
    assert not LanguageRun.is_at(other.path)
    assert not LanguageRun.is_at(tmp_path)
    with pytest.raises(ValueError, match="is not a run of `perceiver language`"):
        LanguageRun.open_language(other.path)
    other.config_file.write_text("a: [")
    assert not LanguageRun.is_at(other.path)


def test_the_model_of_the_other_objective_is_refused(run):
    with pytest.raises(ValueError, match=r"has a masked model, a causal one is needed; masked models fill gaps"):
        run.causal_model()
    with pytest.raises(ValueError, match=r"has no model yet; continue its training with `perceiver language --resume"):
        run.masked_model()
