import pytest

from perceiver_pytorch._settings import read_settings
from perceiver_pytorch.training.language.settings import LanguageConfig
from perceiver_pytorch.training.run.resuming import check_resumable
from perceiver_pytorch.training.table.settings import FitConfig


def asked(given, configured):
    return read_settings(type(configured), given, base=configured)


def test_what_the_weights_do_not_depend_on_may_change():
    config = FitConfig()
    given = {"data": {"table": "moved.csv", "cache_mb": 0}, "training": {"num_workers": 2, "checkpoint_every": "9m"}}
    check_resumable(config, asked(given, config), "runs/a")
    check_resumable(LanguageConfig(), asked({"data": {"file": "moved.txt"}}, LanguageConfig()), "runs/a")


@pytest.mark.parametrize(
    ("config", "given", "message"),
    [
        (
            FitConfig(),
            {"model": {"depth": 3}},
            r"runs/a keeps its settings as it continues; leave out model.depth=3 .it has None",
        ),
        (
            FitConfig(),
            {"training": {"lr": 0.1, "num_workers": 3}},
            r"leave out training.lr=0.1 \(it has None\), which would",
        ),
        (
            FitConfig(),
            {"augment": {"enabled": False}},
            r"can change: .*training.num_workers \(--workers\), and the time",
        ),
        (
            LanguageConfig(),
            {"training": {"steps": 9}},
            "steps=9 .it has 2000., .*can change: data.file, training.check",
        ),
    ],
)
def test_other_settings_are_refused(config, given, message):
    with pytest.raises(ValueError, match=message):
        check_resumable(config, asked(given, config), "runs/a")


def test_where_rows_are_skipped_it_may_not_change_when_they_are_found():
    config = asked({"data": {"on_error": "skip"}}, FitConfig())
    with pytest.raises(ValueError, match=r"leave out data.cache_mb=0 \(it has 2048\)") as error:
        check_resumable(config, asked({"data": {"cache_mb": 0}}, config), "runs/a")
    assert "allow_outside" not in str(error.value)
