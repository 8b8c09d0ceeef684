"""Model cards: what a saved or exported model is, for whoever finds it; on the hub it is ``README.md``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LIBRARY = "perceiver-multi-modality-pytorch"

Section = tuple[str, str]
"""A heading, and Markdown under it."""


def card_text(title: str, sections: Iterable[Section], *, tags: Sequence[str] = (), results: Sequence[Any] = ()) -> str:
    """A card with the front matter that the hub reads.

    Args:
        title: the model's name.
        sections: in their order; those without text are left out.
        tags: besides ``perceiver``.
        results: `huggingface_hub.EvalResult`, of which the hub shows scores.
    """
    from huggingface_hub import ModelCardData  # only where a card is written

    named: dict[str, Any] = {"model_name": title, "eval_results": list(results)} if results else {}
    front = ModelCardData(library_name=LIBRARY, tags=["perceiver", "multimodal", *tags], **named).to_yaml()
    parts = [f"---\n{front.strip()}\n---", f"# {title}"]
    parts += [f"## {heading}\n\n{text.strip()}" for heading, text in sections if text.strip()]
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; what cells hold does not end them."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def fenced(code: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{code.strip()}\n```"


def model_sections(model: Any) -> list[Section]:
    """What a model says about itself.

    Args:
        model: a `SavedModel`.
    """
    name = type(model).__name__
    summary = getattr(model, "summary", None)
    about = fenced(summary()) if callable(summary) else f"A `{name}`."
    load = f'from perceiver_pytorch import {name}\n\nmodel = {name}.from_pretrained("FOLDER or REPOSITORY")'
    unknown = "This model was saved without the data that it was trained on: its scores are not known here."
    return [
        ("What it is", about),
        ("Data and scores", unknown),
        ("How to load", f"`pip install {LIBRARY}`\n\n" + fenced(load, "python")),
    ]


def results_of(title: str, table: str, kind: str, metrics: Mapping[str, float]) -> list[Any]:
    """Scores as the hub shows them.

    Args:
        title: of the model.
        table: that they were measured on.
        kind: of the task, as the hub calls it.
        metrics: {name: value}.
    """
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=kind,
            dataset_type="table",
            dataset_name=table or title,
            metric_type=name,
            metric_value=round(value, 6),
        )
        for name, value in metrics.items()
    ]


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
