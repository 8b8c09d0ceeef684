"""The model card of an exported model: that of its run or class, how it runs without PyTorch, and what was measured."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from perceiver_pytorch.models.card import LIBRARY, Section, card_text, fenced, markdown_table
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
    outputs = ", ".join(f"`{name}`" for names in facts["outputs"].values() for name in names.values())
    return run.card(_usage(facts), graph_section(facts, outputs), _measured(facts))


def graph_card(facts: Mapping[str, Any], about: Sequence[Section]) -> str:
    """``README.md`` of a graph without a table.

    Args:
        facts: of ``graph.json``.
        about: what is known of the model.
    """
    outputs = ", ".join(
        f"`{entry['name']}` ({' × '.join(map(str, entry['shape']))})" for entry in facts["outputs"].values()
    )
    return card_text(facts["model"], [*about, _graph_usage(facts), graph_section(facts, outputs)])


def language_sections(metrics: Mapping[str, Any]) -> list[Section]:
    """What a language model's run says of it: bytes in, and how well it predicts them."""
    reads = (
        "Tokens are bytes of UTF-8: byte b has the id b + 6. Ids below 6 are special, 0 is padding, 3 is `[MASK]`. A "
        "causal model predicts the token after each of the last positions, and wants more tokens than it has latents: "
        "fill shorter texts up on the left, masked. A masked model predicts the token at each position."
    )
    found = [("What it reads", reads)]
    if "bits_per_byte" in metrics:
        told = f"{metrics['bits_per_byte']:.4f} bits per byte on the test part of its text ({metrics['objective']})."
        found.append(("Scores", told))
    return found


def _graph_usage(facts: Mapping[str, Any]) -> Section:
    """How arrays go in and come out."""
    names = [entry["modality"] for entry in facts["inputs"] if entry["part"] == "data"]
    given = ", ".join(f'"{name}": {_plain(name)}' for name in names)
    asked = [entry["modality"] for entry in facts["inputs"] if entry["part"] == "queries"]
    queries = f", queries={{{', '.join(f'{name!r}: {_plain(name)}' for name in asked)}}}" if asked else ""
    code = (
        "from perceiver_pytorch import runtime\n\n"
        'graph = runtime.open_graph("THIS FOLDER")\n'
        f'graph({{{given}}}{queries})["{next(iter(facts["outputs"]))}"]  # arrays of NumPy in, and out'
    )
    install = f"pip install --no-deps {LIBRARY}\npip install numpy onnxruntime einops"
    needs = (
        "It needs PyTorch, and none of this package's models." if facts["format"] == "pt2" else fenced(install, "sh")
    )
    said = (
        "Modalities may be left out, and `mask={name: bool}` says which tokens are real. `graph.json` has names, "
        "shapes and dtypes of all inputs and outputs, for programs that run the graph themselves."
    )
    return "How to use it", f"{needs}\n\n{fenced(code, 'python')}\n\n{said}"


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


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


def graph_section(facts: Mapping[str, Any], outputs: str) -> Section:
    """What a graph takes and gives.

    Args:
        facts: of ``bundle.json`` or ``graph.json``.
        outputs: what it gives, in words.
    """
    opset = f", opset {facts['opset']}" if facts["opset"] else ""
    rows = []
    for entry in facts["inputs"]:
        sides = zip(entry["shape"], entry["least"], entry["most"], strict=True)
        shape = " × ".join(str(high) if low == high else f"{dim} ({low}–{high:,})" for dim, low, high in sides)
        rows.append((f"`{entry['name']}`", entry["dtype"], shape))
    tiles = (
        f"{facts['tile']:,} tokens at a time"
        if facts["tile"]
        else "all tokens at once: its largest array has rows × heads × latents × tokens numbers"
    )
    said = (
        f"`{GRAPHS[facts['format']]}` is {facts['format']}{opset}; its weights are {facts['precision']}. It attends to "
        f"{tiles}. A modality that a row lacks is masked (`.mask`: True where a token is "
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
