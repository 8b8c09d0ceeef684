"""Explanations as files: a page that opens without a network, each map as a picture of its own, and the numbers."""

import base64
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from perceiver_pytorch._files import write_json, write_text, write_whole
from perceiver_pytorch.data import map_drawing
from perceiver_pytorch.data.kinds.base import Part
from perceiver_pytorch.explain.rows import Explanation
from perceiver_pytorch.explain.shapley import Worth

TITLES = {
    "integrated": ("Integrated gradients", "what each value adds, from nothing to what it is"),
    "gradient": ("Gradients × input", "what a small change of each value would do"),
    "occlusion": ("Occlusion", "by how much the evidence falls when a piece is hidden"),
    "attention": ("Attention", "how much is looked at, rolled out through all layers; it is never against the answer"),
}
APART = "one cross-attend's own weights, as a mean of the heads and latents that are not named; not rolled out"
_SUFFIXES = {"image/png": "png", "image/webp": "webp", "audio/wav": "wav"}


def write_explanations(
    folder: Path, explanations: Sequence[Explanation], *, model: str, table: str, metrics: Mapping[str, Any]
) -> Path:
    """Writes ``index.html``, ``explanations.json``, ``maps.npz`` and a file per map; gives the page's path.

    Args:
        folder: made where it is not there.
        explanations: at least one.
        model, table: what they are of, for people.
        metrics: of the run, which has what modalities and columns are worth in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for explanation in explanations:
        _write_drawings(folder, explanation)
    arrays = {
        f"{each.row}/{each.target}/{way}/{name}": grid.astype(np.float32)
        for each in explanations
        for way, found in each.maps.items()
        for name, grid in found.grids.items()
    }
    write_whole(folder / "maps.npz", lambda partial: _save(partial, arrays))
    write_json(folder / "explanations.json", {"model": model, "table": table,
                                              "rows": [each.as_json() for each in explanations]})  # fmt: skip
    page = folder / "index.html"
    write_text(page, rendered(explanations, model=model, table=table, metrics=metrics))
    return page


def rendered(explanations: Sequence[Explanation], *, model: str, table: str, metrics: Mapping[str, Any]) -> str:
    """The page."""
    from jinja2 import Environment

    source = files("perceiver_pytorch.explain").joinpath("page.html.jinja").read_text(encoding="utf-8")
    template = Environment(autoescape=True).from_string(source)
    return template.render(
        model=model,
        table=table,
        titles=_titles(explanations),
        legend=_legend(explanations),
        rows=[_shown(each) for each in explanations],
        several=len({each.target for each in explanations}) > 1,
        worth=metrics.get("worth"),
    )


def _titles(explanations: Sequence[Explanation]) -> dict[str, str]:
    """{way: its title}."""
    return {way: title_of(way) for each in explanations for way in each.maps}


def _legend(explanations: Sequence[Explanation]) -> list[tuple[str, str]]:
    """What the ways that were taken say."""
    taken = _titles(explanations)
    found = [TITLES[way] for way in TITLES if way in taken]
    return [*found, *([("Attention, layer …", APART)] if taken.keys() - TITLES else [])]


def title_of(way: str) -> str:
    """``attention.layer-0.head-1`` is "Attention, layer 0, head 1"."""
    if way in TITLES:
        return TITLES[way][0]
    name, *parts = way.split(".")
    return ", ".join([TITLES[name][0], *(part.replace("-", " ") for part in parts)])


def _shown(each: Explanation) -> dict[str, Any]:
    """What the page shows of a row."""
    names = list(dict.fromkeys(name for parts in each.drawings.values() for name in parts))
    return {
        "number": each.row,
        "noun": each.noun,
        "target": each.target,
        "prediction": each.prediction,
        "truth": each.truth,
        "evidence": f"{each.evidence[0]:+.3g}",
        "unit": each.evidence[1],
        "worth": None if each.worth is None else _shown_worth(each.worth),
        "modalities": [
            {
                "name": name,
                "ways": {way: _once(parts[name], way) for way, parts in each.drawings.items() if name in parts},
            }
            for name in names
        ],
        "notes": {way: found.note for way, found in each.maps.items() if found.note},
        "sounds": _sounds(each),
    }


def _shown_worth(worth: Worth) -> dict[str, Any]:
    names = [f"{name} (± {worth.errors[name]:.2g})" if name in worth.errors else name for name in worth.values]
    bars = map_drawing.bars(names, list(worth.values.values()))
    return {"nothing": f"{worth.nothing:+.3g}", "orders": worth.orders, "bars": bars}


def _once(parts: Sequence[Part], way: str) -> list[Part]:
    """What differs from way to way: a sound is the same for all."""
    return [{**part, "alt": f"{part['name']}, {title_of(way)}"} for part in parts if part["kind"] != "audio"]


def _sounds(each: Explanation) -> dict[str, str]:
    return {
        part["name"]: part["value"]
        for parts in each.drawings.values()
        for drawn in parts.values()
        for part in drawn
        if part["kind"] == "audio"
    }


def _write_drawings(folder: Path, each: Explanation) -> None:
    """A file per map, ``row-3/TARGET.WAY.NAME.svg``."""
    place = folder / f"{each.noun}-{each.row}"
    place.mkdir(exist_ok=True)
    for way, parts in each.drawings.items():
        for part in (part for drawn in parts.values() for part in drawn):
            name = _file_name(part["name"] if part["kind"] == "audio" else f"{each.target}.{way}.{part['name']}")
            _write_part(place, name, part)


def _write_part(folder: Path, name: str, part: Part) -> None:
    if part["kind"] == "drawing":
        write_text(folder / f"{name}.svg", part["value"])
    elif part["value"].startswith("data:"):
        head, data = part["value"].split(",", 1)
        suffix = _SUFFIXES.get(head.removeprefix("data:").removesuffix(";base64"), "bin")
        write_whole(folder / f"{name}.{suffix}", lambda partial: _write_bytes(partial, base64.b64decode(data)))


def _file_name(name: str) -> str:
    """A name without what file systems take for something else."""
    return re.sub(r"[^\w.+-]", "_", name).strip(".") or "_"


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
