"""One decoder per kind of modality: what was learned from the train rows, and how a cell becomes an array."""

from .audio import AudioSpec
from .base import CHANGES, Encoded, ModalitySpec
from .categories import CategoriesSpec
from .image import ImageSpec
from .numbers import NumbersSpec
from .text import TextSpec
from .video import VideoSpec

__all__ = [
    "CHANGES",
    "AudioSpec",
    "CategoriesSpec",
    "Encoded",
    "ImageSpec",
    "ModalitySpec",
    "NumbersSpec",
    "TextSpec",
    "VideoSpec",
]
