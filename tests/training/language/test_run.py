import hashlib
import json

import numpy as np
import pytest

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.data import DataError
from perceiver_pytorch.training.language.objectives import objective_of
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


def test_what_tells_its_text_is_written_and_must_be_whole(run):
    run.write_text(text(b"a" * 1200))
    kept = {"bytes": 1200, "sha256": hashlib.sha256(b"a" * 1200).hexdigest()}
    assert json.loads(run.text_file.read_text()) == kept
    with pytest.raises(DataError, match=r"\(of 1,200 bytes; this one has 1,199\)"):
        run.check_text(text(b"a" * 1199))
    run.text_file.write_text('{"bytes": "many"}')
    with pytest.raises(ValueError, match="bytes must be int"):
        run.check_text(text(b"a"))
    assert {path.name for path in (run.text_file, run.curve_file)} == {"text.json", "curve.svg"}
    run.discard()
    assert not run.text_file.exists()


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_its_model_is_the_one_of_its_objective(tmp_path, objective):
    sizes = {"num_latents": 4, "latent_dim": 8, "embedding_dim": 8, "depth": 1, "heads": 1, "cross_heads": 1}
    config = read_settings(LanguageConfig, {"objective": objective, "data": {"context": 8}, "model": sizes})
    run = LanguageRun.create(tmp_path / "run")
    run.write_config(config)
    model = objective_of(config).build(config)
    run.write_model(model)
    assert type(run.language_model()) is type(model)
    right, wrong = run.causal_model, run.masked_model
    if objective == "masked":
        right, wrong = wrong, right
    assert type(right()) is type(model)
    with pytest.raises(ValueError, match=f"has a {objective} model, a .* one is needed; {objective} models "):
        wrong()
