"""What is measured: models and inputs, described without any library, so that every contestant can build them."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = {
    "a": "README example: video, image and sound",
    "b": "one 224x224x3 image per sample, 256 latents x 512, depth 6",
    "c": "ImageNet-like: 50,176 tokens, 64 bands, 512 latents x 1024, 8 times 6 blocks",
    "d": "text of 512 tokens and an image",
    "e": "length of a 260x260 video (uint8)",
    "f": "number of latents, on one 224x224x3 image",
    "g": "published image classifier with Fourier positions: 224x224 pixels, 512 latents x 1024",
    "h": "published masked language model: 2,048 bytes, 256 latents x 1280",
    "i": "published optical flow: two frames of 368x496, 2,048 latents x 512",
    "j": "published multi-modal autoencoder: 16 frames of 224x224, 30,720 samples, 784 latents x 512",
}
FORWARD, TRAIN = "forward", "training step"
PUBLISHED = "PublishedPerceiver"


@dataclass(frozen=True)
class Modality:
    """One kind of input.

    Args:
        name: its name. In the published cases axes and channels are the input's dimensions in the order of its library,
            which has the channels of a picture before its axes.
        channels: raw channels of a token; of token ids, 1.
        axes: length of each axis.
        num_freq_bands, max_freq: position encoding of every axis.
        vocabulary, width: of token ids, the size of their embedding.
        dtype: ``"float32"``, ``"bfloat16"``: uniform in 0 to 1; ``"uint8"``: uniform in 0 to 255.
    """

    name: str
    channels: int
    axes: tuple[int, ...]
    num_freq_bands: int
    max_freq: float
    vocabulary: int = 0
    width: int = 0
    dtype: str = "float32"

    def random(self, batch: int, generator: torch.Generator) -> Tensor:
        """Values ``(batch, *axes, channels)``."""
        shape = (batch, *self.axes, self.channels)
        if self.vocabulary:
            return torch.randint(self.vocabulary, shape, generator=generator)
        if self.dtype == "uint8":
            return torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return torch.rand(shape, generator=generator).to(getattr(torch, self.dtype))

    @property
    def num_tokens(self) -> int:
        count = 1
        for length in self.axes:
            count *= length
        return count

    @property
    def frame_points(self) -> int:
        """Pixels of a published video (frames, 3, height, width)."""
        return self.axes[0] * self.axes[2] * self.channels


_CHANNELS_FIRST = Modality("image", 224, (3, 224), 0, 0.0)
_IMAGE_SIZES = {
    "num_latents": 512,
    "d_latents": 1024,
    "num_blocks": 8,
    "num_self_attends_per_block": 6,
    "num_cross_attention_heads": 1,
    "num_labels": 1000,
}
"""Of transformers' image classifiers."""


@dataclass(frozen=True)
class Case:
    """One model on one batch.

    Args:
        group: letter of `GROUPS`.
        label: what tells it from the others of its group.
        model: class name in release 1.4.0: ``Perceiver``, ``MultiModalityPerceiver`` or
            ``MultiModalityWithTextPerceiver``; or `PUBLISHED`, a model of `benchmarks.published`.
        modalities: what it reads.
        arguments: constructor arguments besides the modalities.
        batch: samples.
        precision: ``"bfloat16"`` runs under ``torch.autocast``.
        contestants: those that it is meant for; empty: all.
        frames: length of the video where time and memory are given per frame.
    """

    group: str
    label: str
    model: str
    modalities: tuple[Modality, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    batch: int = 1
    precision: str = "float32"
    contestants: tuple[str, ...] = ()
    frames: int = 0

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}"

    @property
    def published(self) -> bool:
        return self.model == PUBLISHED

    @property
    def depth(self) -> int:
        return self.arguments.get("depth", 1)

    @property
    def num_blocks(self) -> int:
        """Self-attention blocks per layer."""
        return self.arguments.get("num_latent_blocks_per_layer", 1)

    @property
    def image(self) -> Modality | None:
        """The only modality, if it is an image."""
        only = self.modalities[0]
        return only if len(self.modalities) == 1 and len(only.axes) == 2 else None

    def inputs(self) -> dict[str, Tensor]:
        """The same batch in every process."""
        generator = torch.Generator().manual_seed(1)
        return {modality.name: modality.random(self.batch, generator) for modality in self.modalities}

    def loss(self, output: Tensor) -> Tensor:
        """What is trained: cross-entropy with `targets`, or for the published models, which have no one kind of
        target, the mean square.
        """
        if self.published:
            return output.float().square().mean()
        return F.cross_entropy(output.float(), self.targets())

    def targets(self) -> Tensor:
        generator = torch.Generator().manual_seed(2)
        return torch.randint(self.arguments["num_classes"], (self.batch,), generator=generator)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Case":
        modalities = tuple(Modality(**{**m, "axes": tuple(m["axes"])}) for m in values["modalities"])
        return cls(**{**values, "modalities": modalities, "contestants": tuple(values["contestants"])})


def all_cases(quick: bool = False) -> list[Case]:
    """Every case in order; ``quick`` scales them down to fractions of a second."""
    cases = [*_readme(), *_image(), *_imagenet(), *_text(), *_video(), *_latents(), *_published()]
    return [_scaled_down(case) for case in cases] if quick else cases


def _readme_model(*modalities: Modality, **options: Any) -> dict[str, Any]:
    """The multi-modality model of release 1.4.0's README."""
    arguments = {
        "depth": 8,
        "num_latents": 12,
        "latent_dim": 64,
        "num_classes": 1000,
        "weight_tie_layers": True,
        "num_latent_blocks_per_layer": 6,
    }
    return {"model": "MultiModalityPerceiver", "modalities": modalities, "arguments": arguments, **options}


def _readme() -> list[Case]:
    model = _readme_model(
        Modality("video", 3, (32, 260, 260), 6, 4.0),
        Modality("image", 3, (260, 260), 6, 4.0),
        Modality("audio", 1, (44_100,), 6, 8.0),
    )
    ours = ("ours", "ours-chunked")
    return [Case("a", f"batch {n}", batch=n, contestants=ours if n > 3 else (), **model) for n in (1, 3, 16)]


def _picture(side: int = 224, bands: int = 6, max_freq: float = 10.0) -> Modality:
    return Modality("image", 3, (side, side), bands, max_freq)


def _image() -> list[Case]:
    arguments = {"depth": 6, "num_latents": 256, "latent_dim": 512, "num_classes": 1000}
    return [
        Case("b", f"batch 8, {precision}", "Perceiver", (_picture(),), arguments, batch=8, precision=precision)
        for precision in ("float32", "bfloat16")
    ]


def _imagenet() -> list[Case]:
    """Sizes of the paper's ImageNet model (section 4.1): as release 1.4.0 builds it; without gates; and the model of
    transformers, which has none either, and reads the input once.
    """
    arguments = {
        "depth": 8,
        "num_latents": 512,
        "latent_dim": 1024,
        "num_classes": 1000,
        "weight_tie_layers": True,
        "num_latent_blocks_per_layer": 6,
    }
    style = {"activation": "gelu", "double_residual": False, "freq_scale": "linear", "weight_sharing": "paper"}
    model, picture = "MultiModalityPerceiver", _picture(bands=64, max_freq=224.0)
    sizes = {
        **_IMAGE_SIZES,
        "qk_channels": 512,
        "v_channels": 1024,
        "self_attention_widening_factor": 4,
        "cross_attention_widening_factor": 4,
    }
    cases = [Case("c", "batch 1", model, (picture,), arguments)]
    for precision in ("float32", "bfloat16"):
        options: dict[str, Any] = {"precision": precision, "contestants": ("ours", "transformers")}
        cases += [
            Case("c", f"8 reads, no gates, {precision}", model, (picture,), {**arguments, "style": style}, **options),
            Case(
                "c",
                f"transformers' model, {precision}",
                PUBLISHED,
                (_CHANNELS_FIRST,),
                {"task": "image-fourier", "sizes": sizes},
                **options,
            ),
        ]
    return cases


def _text() -> list[Case]:
    text = Modality("text", 1, (512,), 6, 512.0, vocabulary=30_000, width=512)
    arguments = {
        "depth": 4,
        "num_latents": 64,
        "latent_dim": 256,
        "num_classes": 1000,
        "weight_tie_layers": True,
        "num_latent_blocks_per_layer": 2,
    }
    return [Case("d", "batch 4", "MultiModalityWithTextPerceiver", (text, _picture()), arguments, batch=4)]


def _video() -> list[Case]:
    def case(frames: int) -> Case:
        video = Modality("video", 3, (frames, 260, 260), 6, 4.0, dtype="uint8")
        return Case("e", f"{frames} frames", frames=frames, **_readme_model(video))

    return [case(frames) for frames in (8, 32, 128, 512)]


def _latents() -> list[Case]:
    def case(number: int) -> Case:
        arguments = {"depth": 2, "num_latents": number, "latent_dim": 512, "num_classes": 1000}
        return Case("f", f"{number} latents", "Perceiver", (_picture(),), arguments)

    return [case(number) for number in (12, 64, 256, 1024)]


def _published() -> list[Case]:
    """Published sizes (see `perceiver_pytorch.interop.published_sizes`) and inputs, one sample."""
    flow = {
        "num_latents": 2048,
        "d_latents": 512,
        "num_self_attends_per_block": 24,
        "num_self_attention_heads": 16,
        "num_cross_attention_heads": 1,
    }
    clip = {
        "num_latents": 784,
        "d_latents": 512,
        "num_self_attends_per_block": 8,
        "num_cross_attention_heads": 1,
        "image_size": 224,
        "num_labels": 700,
    }

    def case(group: str, label: str, task: str, sizes: dict[str, Any], *modalities: Modality) -> Case:
        arguments = {"task": task, "sizes": sizes}
        return Case(group, label, PUBLISHED, modalities, arguments, contestants=("ours", "transformers"))

    video, audio = Modality("image", 224, (16, 3, 224), 0, 0.0), Modality("audio", 1, (30_720,), 0, 0.0)
    return [
        case("g", "224x224", "image-fourier", _IMAGE_SIZES, _CHANNELS_FIRST),
        case(
            "h",
            "2,048 bytes",
            "masked-lm",
            {"qk_channels": 256, "v_channels": 1280},
            Modality("text", 2048, (), 0, 0.0, vocabulary=262),
        ),
        case("i", "368x496", "optical-flow", flow, Modality("frames", 496, (2, 27, 368), 0, 0.0)),
        case(
            "j",
            "a 128th of the points",
            "multimodal-autoencoding",
            clip,
            video,
            audio,
            Modality("label", 700, (), 0, 0.0),
        ),
    ]


def _scaled_down_published(case: Case) -> Case:
    small = {
        "num_latents": 8,
        "d_latents": 32,
        "num_blocks": 1,
        "num_self_attends_per_block": 2,
        "num_self_attention_heads": 4,
        "max_position_embeddings": 64,
        "train_size": [12, 16],
        "image_size": 16,
        "num_frames": 2,
        "output_shape": [1, 2, 16, 16],
        "audio_samples_per_frame": 32,
        "output_num_channels": 16,
        "num_labels": 10,
    }
    if "qk_channels" in case.arguments["sizes"]:
        small |= {"qk_channels": 32, "v_channels": 32, "d_model": 32}
    shapes = {
        "image-fourier": [(3, 24, 24)],
        "masked-lm": [(64,)],
        "optical-flow": [(2, 27, 12, 16)],
        "multimodal-autoencoding": [(2, 3, 16, 16), (64, 1), (10,)],
    }
    modalities = tuple(
        replace(modality, axes=tuple(shape[:-1]), channels=shape[-1])
        for modality, shape in zip(case.modalities, shapes[case.arguments["task"]], strict=True)
    )
    arguments = {**case.arguments, "sizes": {**case.arguments["sizes"], **small}}
    return replace(case, modalities=modalities, arguments=arguments)


def _scaled_down(case: Case) -> Case:
    """A case of the same form with small axes and latents."""
    if case.published:
        return _scaled_down_published(case)

    def modality(original: Modality) -> Modality:
        limit = {1: 96, 2: 12, 3: 8}[len(original.axes)]
        axes = tuple(max(2, min(limit, length // 8)) for length in original.axes)
        return replace(
            original,
            axes=axes,
            num_freq_bands=min(original.num_freq_bands, 6),
            vocabulary=min(original.vocabulary, 50),
            width=min(original.width, 32),
        )

    arguments = {
        **case.arguments,
        "depth": min(case.depth, 2),
        "num_latents": max(4, case.arguments["num_latents"] // 32),
        "latent_dim": 32,
        "num_classes": 10,
    }
    if case.num_blocks > 1:
        arguments["num_latent_blocks_per_layer"] = 2
    modalities = tuple(modality(m) for m in case.modalities)
    frames = modalities[0].axes[0] if case.frames else 0
    label = f"{frames} frames of {case.frames}" if frames else case.label
    return replace(case, modalities=modalities, arguments=arguments, label=label, frames=frames)
