"""``perceiver explain`` of models that read no table: language models, and published ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceiver_pytorch.cli import console

if TYPE_CHECKING:
    from perceiver_pytorch.explain.apart import Apart
    from perceiver_pytorch.explain.rows import Explanation
    from perceiver_pytorch.interop import PublishedPerceiver

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_IN_PYTHON = "record its attention in Python: docs/explaining.md"


def explain_language(run: Path, text: str, numbers: Sequence[int] | None, apart: "Apart", output: Path) -> int:
    """Which bytes of a text a language model looked at."""
    from perceiver_pytorch.explain.texts import explain_gaps, explain_next
    from perceiver_pytorch.models.text.perceiver_ar import PerceiverAR
    from perceiver_pytorch.training.language.run import LanguageRun

    model, text = LanguageRun.open_language(run).language_model().eval(), text_of(text)
    if isinstance(model, PerceiverAR):
        found = explain_next(model, text, numbers, apart)
    else:
        found = explain_gaps(model, model, text, numbers, most=model.max_length, apart=apart)
    return _written(found, run, text, output)


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a model and no run."""
    return (folder / "config.json").is_file() and not (folder / "input_spec.json").is_file()


def explain_saved(folder: Path, given: str, numbers: Sequence[int] | None, apart: "Apart", output: Path) -> int:
    """Where a saved model looked, if it reads a text or a picture.

    Raises:
        ValueError: for a model that reads anything else.
    """
    from perceiver_pytorch.interop import PublishedPerceiver, load

    model = load(folder).eval()
    if not isinstance(model, PublishedPerceiver) or model.task not in _PUBLISHED:
        what = f"a published model for {model.task}" if isinstance(model, PublishedPerceiver) else type(model).__name__
        raise ValueError(f"{folder} has {what}, which reads neither a text nor a picture; {_IN_PYTHON}")
    return _written(_PUBLISHED[model.task](model, given, numbers, apart), folder, given, output)


def _masked(model: "PublishedPerceiver", given: str, numbers: Any, apart: Any) -> "list[Explanation]":
    from perceiver_pytorch.explain.texts import explain_gaps

    most = model.config.max_position_embeddings
    return explain_gaps(model, model, text_of(given), numbers, most=most, frame=True, apart=apart)


def _text_class(model: "PublishedPerceiver", given: str, numbers: Any, apart: Any) -> "list[Explanation]":
    from perceiver_pytorch.explain.texts import explain_class

    most = model.config.max_position_embeddings
    return explain_class(model, model, text_of(given), model.labels, most=most, apart=apart)


def _picture_class(model: "PublishedPerceiver", given: str, numbers: Any, apart: Any) -> "list[Explanation]":
    import numpy as np

    from perceiver_pytorch.explain.pictures import explain_picture
    from perceiver_pytorch.interop.predictor import image_processing

    process, files = image_processing(model), pictures_of(Path(given))
    chosen = range(min(len(files), 5)) if numbers is None else numbers
    if wrong := [number for number in chosen if number >= len(files)]:
        raise ValueError(f"{given} has the pictures 0 to {len(files) - 1}, got {', '.join(map(str, wrong))}")
    found = []
    for number in chosen:
        pixels = process(files[number])
        shown = (process.as_seen(pixels) * 255).round().byte().permute(1, 2, 0).numpy()
        found.append(
            explain_picture(model, model, pixels[None], np.ascontiguousarray(shown), model.labels,
                            number=number, apart=apart)
        )  # fmt: skip
    return found


_PUBLISHED: "dict[str, Callable[..., list[Explanation]]]" = {
    "masked-lm": _masked,
    "text-classification": _text_class,
    "image-learned": _picture_class,
    "image-fourier": _picture_class,
    "image-conv": _picture_class,
}


def text_of(given: str) -> str:
    """A text, or that of a file."""
    try:
        is_file = Path(given).is_file()
    except (OSError, ValueError):  # a text that is too long for a name, or has what none may have
        is_file = False
    return Path(given).read_bytes().decode("utf-8", "surrogateescape") if is_file else given


def pictures_of(path: Path) -> list[Path]:
    """A picture, or those in a folder, by name.

    Raises:
        ValueError: if there are none.
    """
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURES) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise ValueError(f"this model reads pictures, and {path} is neither one nor a folder of some")
    return found


def _written(found: "list[Explanation]", model: Path, given: str, output: Path) -> int:
    from perceiver_pytorch.explain.page import write_explanations

    name = given if len(given) <= 80 else given[:79] + "…"
    page = write_explanations(output, found, model=model.resolve().name, table=repr(name), metrics={})
    nouns = f"{found[0].noun}s" if len(found) > 1 else found[0].noun
    console.say(f"{len(found)} {nouns} explained in {page}")
    return 0
