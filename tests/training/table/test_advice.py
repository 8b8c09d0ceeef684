from pathlib import Path

from perceiver_pytorch._settings import with_keywords
from perceiver_pytorch.training.table.advice import Advice
from perceiver_pytorch.training.table.settings import preset

ASKED = with_keywords(preset("auto"), {"table": "t.csv", "target": "y"})


def test_the_time_limit_stays_unless_it_is_changed():
    limited = Advice(ASKED, limit=90)
    assert limited.fit() == "perceiver fit t.csv --target y --time-limit 90s".replace("90s", "1m30s")
    assert limited.fit(limit=3600) == "perceiver fit t.csv --target y --time-limit 1h"
    assert Advice(ASKED).fit() == "perceiver fit t.csv --target y"


def test_the_configuration_of_a_run_is_named():
    found = Advice(ASKED, file=Path("runs/a b/config.yaml")).fit({("training", "class_weights"): "balanced"})
    assert found == "perceiver fit --config 'runs/a b/config.yaml' --class-weights balanced"


def test_a_table_in_memory_is_given_to_a_function():
    assert Advice(ASKED, in_memory=True, limit=5).fit() == "fit(table, 'y', time_limit='5s')"
    found = Advice(ASKED, in_memory=True, file=Path("c.yaml")).fit({("training", "steps"): 3})
    assert found == "fit(table, 'y', config='c.yaml', steps=3)"


def test_few_columns_can_be_left_out_by_a_command():
    assert Advice(ASKED).without(["a"]) == "perceiver fit t.csv --target y --column a=ignore"
    assert Advice(ASKED).without([f"c{i}" for i in range(9)]) is None
