"""One decoder per kind of modality: what was learned from the train rows, and how a cell becomes an array."""

from .audio import AudioSpec
from .base import CHANGES, Encoded, ModalitySpec
from .categories import CategoriesSpec
from .dates import DatesSpec
from .image import ImageSpec
from .numbers import NumbersSpec
from .points import PointsSpec
from .series import SeriesSpec
from .text import TextSpec
from .video import VideoSpec

__all__ = [
    "CHANGES",
    "AudioSpec",
    "CategoriesSpec",
    "DatesSpec",
    "Encoded",
    "ImageSpec",
    "ModalitySpec",
    "NumbersSpec",
    "PointsSpec",
    "SeriesSpec",
    "TextSpec",
    "VideoSpec",
]
