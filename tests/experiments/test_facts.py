"""What is needed to repeat an experiment."""

import json
from pathlib import Path

from experiment_helpers import experiment
from perceiver_pytorch.experiments.facts import facts_of


def test_command_versions_and_machine_are_told() -> None:
    facts = json.loads(json.dumps(facts_of(experiment(), ["experiment", "a b.yaml", "--quick"], Path("data"))))
    assert facts["command"] == "perceiver experiment 'a b.yaml' --quick"
    assert {"perceiver_pytorch", "python", "torch"} <= facts["versions"].keys()
    assert facts["machine"]["cores"] >= 1
    assert (facts["data"], facts["quick"], facts["text"]) == ("data", False, experiment().text)
