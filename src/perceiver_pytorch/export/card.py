"""The model card of an exported model: that of its run or class, how it runs without PyTorch, and what was measured."""

from collections.abc import Mapping
from typing import Any

from perceiver_pytorch.models.card import LIBRARY, Section, fenced, markdown_table
from perceiver_pytorch.runtime.engines import GRAPHS
from perceiver_pytorch.tables.run import Run

RUNTIME = "numpy onnxruntime einops pillow pyarrow soundfile soxr av tokenizers typer rich"
"""What predicting from tables needs without PyTorch; requirements-runtime.txt of the package has the same."""


def bundle_card(run: Run, facts: Mapping[str, Any]) -> str:
    """``README.md`` of a bundle.

    Args:
        run: what was exported.
        facts: of ``bundle.json``.
    """
    return run.card(_usage(facts), graph_section(facts), _measured(facts))


def _usage(facts: Mapping[str, Any]) -> Section:
    code = (
        "from perceiver_pytorch import runtime\n\n"
        'model = runtime.open_predictor("THIS FOLDER")\nmodel.predict("new.csv")'
    )
    if facts["format"] == "onnx":
        install = f"pip install --no-deps {LIBRARY}\npip install {RUNTIME}"
        needs = f"It needs no PyTorch:\n\n{fenced(install, 'sh')}"
    else:
        needs = f"It needs PyTorch, and none of this package's models: `pip install {LIBRARY}`."
    shell = "perceiver predict THIS_FOLDER new.csv -o predictions.csv"
    return "How to load", f"{needs}\n\n{fenced(shell, 'sh')}\n\nor in Python\n\n{fenced(code, 'python')}"


def graph_section(facts: Mapping[str, Any]) -> Section:
    """What a graph takes and gives."""
    opset = f", opset {facts['opset']}" if facts["opset"] else ""
    rows = []
    for entry in facts["inputs"]:
        sides = zip(entry["least"], entry["most"], strict=True)
        shape = " × ".join(str(high) if low == high else f"{low}–{high:,}" for low, high in sides)
        rows.append((f"`{entry['name']}`", entry["dtype"], shape))
    outputs = ", ".join(f"`{name}`" for names in facts["outputs"].values() for name in names.values())
    said = (
        f"`{GRAPHS[facts['format']]}` is {facts['format']}{opset}; its weights are {facts['precision']}. It attends to "
        f"{facts['tile']:,} tokens at a time. A modality that a row lacks is masked (`.mask`: True where a token is "
        f"real). Outputs: {outputs}."
    )
    drawn = f"On drawn inputs it differs from the model by {facts['agreement']['largest_difference']:.1e} at most."
    return "The graph", f"{said}\n\n{markdown_table(('input', 'type', 'shape'), rows)}\n\n{drawn}"


def _measured(facts: Mapping[str, Any]) -> Section:
    told = facts.get("measured")
    if not told:
        return "Accuracy as exported", "It was not measured: the table was not at hand."
    rows = [
        (name, key, f"{before:.5g}", f"{after:.5g}")
        for name, metrics in told["targets"].items()
        for key, (before, after) in metrics.items()
    ]
    table = markdown_table(("target", "metric", "model", "as exported"), rows)
    return "Accuracy as exported", f"On {told['rows']:,} {told['split']} rows:\n\n{table}"
