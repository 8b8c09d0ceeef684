"""`PublishedPerceiver`: the models that transformers publishes, assembled from this package's parts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.interop.predictor import Predictor, predictor_of
from perceiver_pytorch.interop.published_config import TASKS, PublishedConfig
from perceiver_pytorch.interop.published_decoders import DECODERS, Points
from perceiver_pytorch.interop.published_encoder import PublishedEncoder
from perceiver_pytorch.interop.published_readers import READERS
from perceiver_pytorch.models.saving import SavedModel
from perceiver_pytorch.ops import Context


class PublishedPerceiver(SavedModel, tags=["perceiver-io"]):
    """Perceiver IO in the published forms: a reader of one kind of input, an encoder, a decoder (arXiv 2107.14795).

    `perceiver_pytorch.interop.huggingface.load` makes one of a checkpoint; the constructor makes one with random
    weights.

    Args:
        task: one of ``masked-lm``, ``text-classification``, ``image-learned``, ``image-fourier``, ``image-conv``,
            ``optical-flow``, ``multimodal-autoencoding``.
        sizes: a `PublishedConfig` or a mapping of its fields; what is left out has transformers' defaults.
        preprocessing: what `predict` does to images before the model sees them, by the names of transformers'
            ``preprocessor_config.json``.

    Attributes:
        config: the `PublishedConfig`.
        reader: inputs to contexts; `reader.num_channels` per token.
        encoder: contexts to latents; `encoder.latents`, `encoder.cross_attend`, `encoder.layers`.
        decoder: latents to logits. The ``head`` of a classifier's is a linear layer that may be replaced.

    Raises:
        ValueError, TypeError: for an unknown task or field, or sizes that do not fit together.

    Example:
        >>> import torch
        >>> sizes = {"num_latents": 8, "d_latents": 16, "num_self_attends_per_block": 1, "num_labels": 3}
        >>> model = PublishedPerceiver("image-fourier", {**sizes, "num_cross_attention_heads": 1})
        >>> model(torch.rand(1, 3, 24, 24)).shape
        torch.Size([1, 3])
    """

    def __init__(
        self,
        task: str,
        sizes: Mapping[str, Any] | PublishedConfig | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.task = _checks.choice("task", task, TASKS)
        self.config = config = PublishedConfig.of(sizes or {})
        self.preprocessing = dict(preprocessing or {})
        self._record_config(sizes=config.to_json(), preprocessing=self.preprocessing)
        reader = READERS[task](config)
        self.reader: nn.Module = reader
        self.encoder = PublishedEncoder(config, reader.num_channels)
        self.decoder: nn.Module = DECODERS[task](config)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        attention_mask: Tensor | None = None,
        subsampled_output_points: Points | None = None,
        *,
        interpolate_pos_encoding: bool = False,
    ) -> Any:
        """Logits, as transformers' model gives them.

        Args:
            inputs: token ids ``(batch, length)`` int64; normalised pixels ``(batch, 3, height, width)``; for optical
                flow patches of two frames ``(batch, 2, 27, height, width)``; for a clip ``{"image": (batch, frames, 3,
                height, width), "audio": (batch, samples, 1), "label": (batch, classes)}``.
            attention_mask: ``(batch, tokens)``, True or 1 = attend; None: all. A sample without any token gets what the
                latents alone give.
            subsampled_output_points: for clips, ``{"image": points, "audio": points}``, each ``(number,)`` int64, of
                the flattened output; None, or a modality left out: all points, decoded in chunks.
            interpolate_pos_encoding: let learned positions of images fit another size.

        Returns:
            ``(batch, max_position_embeddings, vocab_size)`` for masked language modelling, ``(batch, num_labels)`` for
            classification, ``(batch, height, width, 2)`` for flow, a dictionary of ``image``, ``audio`` and ``label``
            for clips.

        Raises:
            ValueError, TypeError: for inputs of another shape or dtype, saying which.
        """
        contexts = self.contexts(inputs, attention_mask, interpolate_pos_encoding=interpolate_pos_encoding)
        latents = self.encoder(contexts)
        if self.task == "multimodal-autoencoding":
            return self.decoder(latents, contexts, self.reader, subsampled_output_points)
        if subsampled_output_points is not None:
            raise ValueError(f"subsampled_output_points is for multimodal-autoencoding; this model does {self.task}")
        return self.decoder(latents, contexts, self.reader)

    def contexts(
        self, inputs: Any, attention_mask: Tensor | None = None, *, interpolate_pos_encoding: bool = False
    ) -> list[Context]:
        """The inputs as the encoder reads them, ``model.encoder(model.contexts(inputs))`` gives the latents."""
        mask = None if attention_mask is None else _as_mask(attention_mask)
        if not interpolate_pos_encoding:
            return self.reader(inputs, mask)
        if self.task != "image-learned":
            raise ValueError(f"interpolate_pos_encoding is for image-learned; this model does {self.task}")
        return self.reader(inputs, mask, interpolate=True)

    def predict(self, inputs: Any, **options: Any) -> Any:
        """Answers for raw images, text or clips, see `perceiver_pytorch.interop.predictor.Predictor`."""
        return self.predictor(inputs, **options)

    @property
    def predictor(self) -> Predictor:
        """Turns raw inputs into this model's, and its logits into answers."""
        return predictor_of(self)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.latents.device

    @property
    def labels(self) -> list[str]:
        """Names of the classes."""
        names = self.config.id2label
        return list(names) if names else [f"LABEL_{i}" for i in range(self.config.num_labels)]


def _as_mask(mask: Any) -> Tensor:
    """A mask of bools, or of ones and zeros as tokenizers give it."""
    mask = _checks.tensor("attention_mask", mask)
    if mask.dim() != 2:
        raise ValueError(f"attention_mask must be (batch, tokens), got {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise ValueError("attention_mask must hold True and False, or 1 and 0")
    return mask.bool()
