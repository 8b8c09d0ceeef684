"""What an exported model holds, for `perceiver info`."""

from pathlib import Path

from perceiver_pytorch._saved_files import fitting
from perceiver_pytorch.runtime.bundle import BUNDLE, Bundle
from perceiver_pytorch.tables.description import Facts, spec_facts


def describe_bundle(path: Path) -> Facts:
    """The facts of a folder that `perceiver export` wrote.

    Raises:
        DamagedFileError: if a file of it is damaged.
    """
    bundle = Bundle.open(path)
    facts = bundle.facts
    with fitting(path / BUNDLE, "what `perceiver export` wrote"):
        graph = {name: facts[name] for name in ("format", "opset", "precision", "tile") if facts.get(name) is not None}
        return {
            "what": "model of perceiver export",
            "path": str(path),
            **spec_facts(bundle.spec),
            "graph": graph | {"inputs": [each.name for each in bundle.inputs]},
            "calibrated": bundle.calibration is not None,
            "versions": facts["made_with"],
            "next": f"perceiver predict {path} TABLE -o predictions.csv",
        }
