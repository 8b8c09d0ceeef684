"""What an exported model holds, for `perceiver info`."""

from pathlib import Path

from perceiver_pytorch._saved_files import fitting
from perceiver_pytorch.runtime.bundle import BUNDLE, Bundle
from perceiver_pytorch.runtime.exported import WRITTEN
from perceiver_pytorch.runtime.graph import GRAPH, Graph
from perceiver_pytorch.runtime.signature import dims_of
from perceiver_pytorch.tables.description import Facts, spec_facts


def describe_bundle(path: Path) -> Facts:
    """The facts of a folder that `perceiver export` wrote.

    Raises:
        DamagedFileError: if a file of it is damaged.
    """
    bundle = Bundle.open(path)
    facts = bundle.facts
    with fitting(path / BUNDLE, WRITTEN):
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


def describe_graph(path: Path) -> Facts:
    """The facts of a folder that `perceiver export` wrote of a model without a table.

    Raises:
        DamagedFileError: if a file of it is damaged.
    """
    graph = Graph.open(path)
    facts = graph.facts
    with fitting(path / GRAPH, WRITTEN):
        dims = dims_of(graph.inputs)
        return {
            "what": f"graph of a {facts['model']}, by perceiver export",
            "path": str(path),
            **{name: facts[name] for name in ("format", "opset", "precision", "tile") if facts.get(name) is not None},
            "takes": [
                {"name": each.name, "dtype": each.dtype, "shape": list(dims[each.name])} for each in graph.inputs
            ],
            "gives": [
                {"name": each["name"], "dtype": each["dtype"], "shape": each["shape"]}
                for each in facts["outputs"].values()
            ],
            "versions": facts["made_with"],
            "next": f"perceiver_pytorch.runtime.open_graph({str(path)!r}) takes arrays",
        }
