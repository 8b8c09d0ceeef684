"""What the published models give: logits of tokens and classes, flow, and all modalities of a clip."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.interop.published_config import PublishedConfig
from perceiver_pytorch.interop.published_encoder import cross_block
from perceiver_pytorch.interop.published_readers import (
    AUDIO_BANDS,
    MODALITIES,
    VIDEO_BANDS,
    FlowReader,
    TextReader,
    grid_channels,
    published_order,
)
from perceiver_pytorch.nn.fourier import fourier_encode
from perceiver_pytorch.nn.grid_queries import GridQueries, decode_grid
from perceiver_pytorch.nn.plain import weight_of
from perceiver_pytorch.ops import Context

Points = Mapping[str, Tensor | None]
"""Per modality, positions to decode, ``(number,)`` int64 in the flattened output; None for all."""


class TokenDecoder(nn.Module):
    """Logits of every position ``(batch, max_position_embeddings, vocab_size)``; the vocabulary's embeddings are those
    of the reader.
    """

    HEADS, QK_DIM = 8, 256

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        dim = config.d_model
        self.queries = nn.Parameter(torch.randn(config.max_position_embeddings, dim) * 0.02)
        self.block = cross_block(config, dim, config.d_latents, heads=self.HEADS, qk_dim=self.QK_DIM, v_dim=dim)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, latents: Tensor, contexts: Sequence[Context], reader: TextReader) -> Tensor:
        decoded = self.block(self.queries.expand(latents.shape[0], -1, -1), latents)
        return F.linear(decoded, weight_of("the reader's embedding", reader.embedding), self.bias)


class ClassDecoder(nn.Module):
    """Logits of the classes ``(batch, num_labels)``, by one learned query that is added to what it reads."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, config.d_latents) * 0.02)
        self.block = cross_block(config, config.d_latents, config.d_latents, query_residual=True)
        self.head = nn.Linear(config.d_latents, config.num_labels)

    def forward(self, latents: Tensor, contexts: Sequence[Context], reader: nn.Module) -> Tensor:
        return self.head(self.block(self.queries.expand(latents.shape[0], -1, -1), latents)[:, 0])


class FlowDecoder(nn.Module):
    """Flow of every pixel ``(batch, height, width, 2)``, a hundredth of what is decoded; queries are the tokens."""

    SCALE = 1 / 100

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        dim = FlowReader.NUM_CHANNELS + grid_channels(2, 64)
        self.block = cross_block(config, dim, config.d_latents)
        self.head = nn.Linear(dim, 2)

    def forward(self, latents: Tensor, contexts: Sequence[Context], reader: nn.Module) -> Tensor:
        (context,) = contexts
        flow = decode_grid(self.block, GridQueries.of(context), latents, [self.head], factor=self.SCALE)
        return flow.unflatten(1, context.axes)


class MultimodalDecoder(nn.Module):
    """``image`` (batch, points, 3), ``audio`` (batch, points * samples_per_patch), ``label`` (batch, num_labels).

    Queries of video and audio are Fourier positions of points from -1 up to, but not including, 1 (the input's grid
    includes both), padded to one width by learned vectors. transformers decodes sub-sampled points alone; here no
    points means all of them.
    """

    MIN_PADDING = 2

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.config = config
        self.lengths = {
            "audio": (config.num_audio_samples // config.samples_per_patch,),
            "image": tuple(config.output_shape[1:]),
        }
        self.resolutions = {
            "audio": (config.num_audio_samples,),
            "image": (config.num_frames, config.image_size, config.image_size),
        }
        self.bands = {"audio": AUDIO_BANDS, "image": VIDEO_BANDS}
        channels = {
            "audio": grid_channels(1, AUDIO_BANDS),
            "image": grid_channels(3, VIDEO_BANDS),
            "label": config.label_channels,
        }
        width = max(channels.values()) + self.MIN_PADDING
        self.label_query = nn.Parameter(torch.randn(1, config.label_channels) * 0.02)
        self.padding = nn.ParameterDict({name: torch.randn(1, width - channels[name]) * 0.02 for name in MODALITIES})
        self.block = cross_block(config, width, config.d_latents)
        self.head = nn.Linear(width, config.output_num_channels)
        outputs = {"audio": config.samples_per_patch, "image": 3, "label": config.num_labels}
        self.outputs = nn.ModuleDict({k: nn.Linear(config.output_num_channels, n) for k, n in outputs.items()})

    def forward(
        self, latents: Tensor, contexts: Sequence[Context], reader: nn.Module, points: Points | None = None
    ) -> dict[str, Tensor]:
        points = _checks.known_keys("subsampled_output_points", points or {}, MODALITIES)
        label = torch.cat([self.label_query, self.padding["label"]], -1).expand(latents.shape[0], 1, -1)
        return {
            "audio": self._decode("audio", latents, points.get("audio")).flatten(1),
            "image": self._decode("image", latents, points.get("image")),
            "label": self.outputs["label"](self.head(self.block(label, latents)[:, 0])),
        }

    def _decode(self, name: str, latents: Tensor, points: Tensor | None) -> Tensor:
        return decode_grid(self.block, self._queries(name), latents, [self.head, self.outputs[name]], points)

    def _queries(self, name: str) -> GridQueries:
        lengths, bands, code = self.lengths[name], self.bands[name], self.padding[name][0]
        coordinates = [-1 + 2 * torch.arange(length, device=code.device) / length for length in lengths]
        tables = tuple(
            fourier_encode(x, resolution, bands, scale="linear")
            for x, resolution in zip(coordinates, self.resolutions[name], strict=True)
        )
        order = published_order(0, len(lengths), bands, len(code), code.device)
        return GridQueries(lengths, tables, order, code=code)


DECODERS: dict[str, Callable[[PublishedConfig], nn.Module]] = {
    "masked-lm": TokenDecoder,
    "text-classification": ClassDecoder,
    "image-learned": ClassDecoder,
    "image-fourier": ClassDecoder,
    "image-conv": ClassDecoder,
    "optical-flow": FlowDecoder,
    "multimodal-autoencoding": MultimodalDecoder,
}
