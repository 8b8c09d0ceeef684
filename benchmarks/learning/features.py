"""What the baselines read: hand-made features of each kind of column, learned on the train rows."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.fft import dct
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from benchmarks.learning.sets import opened
from perceiver_pytorch.data.media.mel import log_mel

PICTURE, FRAME, FRAMES, POINTS, SEGMENTS, COEFFICIENTS = 28, 24, 8, 20, 8, 13
DENSE = 100
"""Dimensions to which trees and videos have long vectors reduced."""


def features(kinds: dict[str, str], rows: pd.DataFrame, train: np.ndarray, root: Path, *, dense: bool) -> Any:
    """A matrix (rows, features), sparse where that is smaller.

    Args:
        kinds: kind of each column.
        rows: all rows.
        train: bool (rows,): which to learn from.
        root: folder of the files.
        dense: for trees: categories as ordinals, long vectors reduced.
    """
    parts = []
    for name, kind in kinds.items():
        if kind in ("number", "category", "text"):
            parts.append(_plain(kind, rows[name], train, dense=dense))
        else:
            raw = _vectors(kind, rows[name], root)
            if kind == "video" or (dense and raw.shape[1] > 4 * DENSE):
                components = min(DENSE, int(train.sum()), raw.shape[1])
                raw = PCA(components, random_state=0).fit(raw[train]).transform(raw)
            parts.append(raw if dense else StandardScaler().fit(raw[train]).transform(raw))
    if any(sparse.issparse(part) for part in parts):
        return sparse.hstack(parts, format="csr")
    return np.hstack(parts)


def _plain(kind: str, cells: pd.Series, train: np.ndarray, *, dense: bool) -> Any:
    if kind == "number":
        values = pd.to_numeric(cells, errors="coerce").to_numpy(float)[:, None]
        if dense:
            return values
        pipeline = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
        )
        return pipeline.fit(values[train]).transform(values)
    texts = cells.fillna("").astype(str)
    if kind == "category":
        column = texts.to_numpy()[:, None]
        encoder: Any = (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=2, max_categories=250)
            if dense
            else OneHotEncoder(handle_unknown="ignore", min_frequency=2)
        )
        return encoder.fit(column[train]).transform(column)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    matrix = words.fit(texts[train]).transform(texts)
    if not dense:
        return matrix
    reduce = TruncatedSVD(min(DENSE, matrix.shape[1] - 1), random_state=0)
    return reduce.fit(matrix[train]).transform(matrix)


def _vectors(kind: str, cells: Sequence[Any], root: Path) -> np.ndarray:
    read = {"image": picture, "audio": sound, "video": film, "series": series}[kind]
    seen: dict[Any, np.ndarray] = {}
    found = []
    for cell in cells:
        key = cell if isinstance(cell, str | bytes) else id(cell)
        if key not in seen:
            seen[key] = read(opened(cell, root) if isinstance(cell, str | bytes) else cell)
        found.append(seen[key])
    return np.stack(found)


def picture(path: Path | BytesIO) -> np.ndarray:
    """Grey pixels of a small copy."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((PICTURE, PICTURE)), float).ravel() / 255


def sound(path: Path | BytesIO) -> np.ndarray:
    """Mean cepstral coefficients of as many stretches of the sound."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return cepstra(samples.mean(1, keepdims=True), rate)


def cepstra(samples: np.ndarray, rate: int) -> np.ndarray:
    """(SEGMENTS * COEFFICIENTS,) of mono samples (n, 1)."""
    energies = log_mel(samples, rate, 40, max(2, int(0.025 * rate)), max(1, int(0.01 * rate)))[:, 0]
    coefficients = dct(energies, norm="ortho")[:, :COEFFICIENTS]
    parts = np.array_split(coefficients, SEGMENTS)
    return np.concatenate([part.mean(0) if len(part) else coefficients.mean(0) for part in parts])


def film(path: Path | BytesIO) -> np.ndarray:
    """Grey frames at equal distances, and the cepstra of the sound track."""
    import av
    from PIL import Image

    with av.open(str(path) if isinstance(path, Path) else path) as file:
        frames = [f.to_ndarray(format="gray") for f in file.decode(video=0)]
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    small = [np.asarray(Image.fromarray(f).resize((FRAME, FRAME)), float).ravel() / 255 for f in chosen]
    with av.open(str(path) if isinstance(path, Path) else path) as file:
        if not file.streams.audio:
            return np.concatenate(small)
        rate = file.streams.audio[0].rate
        parts = [f.to_ndarray().astype("float32").reshape(-1, f.samples).mean(0) for f in file.decode(audio=0)]
    return np.concatenate([*small, cepstra(np.concatenate(parts)[:, None], rate)])


def series(cell: Any) -> np.ndarray:
    """Every channel at equally spaced times."""
    values = np.stack([np.atleast_1d(np.asarray(step, float)) for step in cell])
    places = np.linspace(0, len(values) - 1, POINTS)
    return np.concatenate([np.interp(places, np.arange(len(values)), np.nan_to_num(column)) for column in values.T])
