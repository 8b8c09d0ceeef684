"""From raw inputs to answers: what `PublishedPerceiver.predict` does for each task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch.interop.clips import clip_inputs
from perceiver_pytorch.interop.flow import flow_of
from perceiver_pytorch.interop.images import ImageProcessing, open_image
from perceiver_pytorch.interop.published_config import PublishedConfig
from perceiver_pytorch.models.text.byte_tokenizer import FIRST_BYTE, MASK, VOCAB_SIZE, ByteTokenizer


class Answerer(Protocol):
    """What a predictor needs of a `PublishedPerceiver`."""

    task: str
    config: PublishedConfig
    preprocessing: dict[str, Any]
    training: bool

    @property
    def labels(self) -> list[str]: ...

    @property
    def device(self) -> torch.device: ...

    def train(self, mode: bool = True) -> Any: ...

    def __call__(self, inputs: Any, attention_mask: Tensor | None = None) -> Any: ...


@dataclass(frozen=True)
class Predictor:
    """Answers for one raw input, or for a list of them.

    Args:
        model: the model; runs in evaluation mode, without gradients.
        answer: answers for a list of inputs, whose length is at most the batch size.
        is_one: whether a value is one input rather than a list of them.
        batch_size: inputs that go through the model together, unless the call says otherwise.
    """

    model: Answerer
    answer: Callable[..., list[Any]]
    is_one: Callable[[Any], bool]
    batch_size: int = 8

    def __call__(self, inputs: Any, *, batch_size: int | None = None, **options: Any) -> Any:
        """One answer for one input, a list of answers for a list.

        Args:
            inputs: an image (path, Pillow image, array), a text, a pair of frames or a clip; or a list of them.
            batch_size: inputs that go through the model together.
            **options: ``top``: how many classes an answer lists (default 5).

        Returns:
            Classifiers: ``{"label", "probability", "top": [(label, probability), ..]}``. Masked language models:
            ``{"text": the text with every [MASK] filled in, "filled": [text of each run of masks]}``. Optical flow:
            ``(height, width, 2)``, in pixels to the right and down. Clips: ``{"video": (frames, height, width, 3) in
            [0, 1], "audio": (samples,), "label", "probability", "top"}``.
        """
        one = self.is_one(inputs)
        values = [inputs] if one else list(inputs)
        size = self.batch_size if batch_size is None else _checks.positive_int("batch_size", batch_size)
        training = self.model.training
        self.model.train(False)
        try:
            with torch.no_grad():
                answers = [
                    answer
                    for start in range(0, len(values), size)
                    for answer in self.answer(self.model, values[start : start + size], **options)
                ]
        finally:
            self.model.train(training)
        return answers[0] if one else answers


def predictor_of(model: Answerer) -> Predictor:
    """What answers for the model's task."""
    if model.task == "masked-lm":
        return Predictor(model, _fill_masks, _is_text)
    if model.task == "text-classification":
        return Predictor(model, _classify_texts, _is_text)
    if model.task == "optical-flow":
        return Predictor(model, _flow, _is_pair, batch_size=1)
    if model.task == "multimodal-autoencoding":
        return Predictor(model, _reconstruct, _is_clip, batch_size=1)
    return Predictor(model, _classify_images, _is_image)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _is_image(value: Any) -> bool:
    """A list holds images; so does an array or tensor with one dimension more."""
    return not isinstance(value, list | tuple) and getattr(value, "ndim", 3) < 4


def _is_pair(value: Any) -> bool:
    return len(value) == 2 and not (isinstance(value, list) and isinstance(value[0], list | tuple))


def _is_clip(value: Any) -> bool:
    return not isinstance(value, list | tuple)


def image_processing(model: Answerer) -> ImageProcessing:
    """What a classifier's pictures go through."""
    values: dict[str, Any] = dict(model.preprocessing)
    if model.task == "image-learned":
        values["size"] = model.config.image_size  # it has no positions for others
    return ImageProcessing.of(values)


def _classify_images(model: Answerer, images: Sequence[Any], *, top: int = 5) -> list[dict[str, Any]]:
    process = image_processing(model)
    pixels = torch.stack([process(image) for image in images])
    return _named(model, model(_to_device(pixels, model)), top)


def _classify_texts(model: Answerer, texts: Sequence[str], *, top: int = 5) -> list[dict[str, Any]]:
    ids, mask = _tokens(model, texts)
    return _named(model, model(ids, mask), top)


def _fill_masks(model: Answerer, texts: Sequence[str]) -> list[dict[str, Any]]:
    ids, mask = _tokens(model, texts)
    # A mask stands for a byte: special tokens are no answer.
    best = FIRST_BYTE + model(ids, mask)[:, : ids.shape[1], FIRST_BYTE:].argmax(-1)
    tokenizer, answers = ByteTokenizer(), []
    for row, guess in zip(ids, best, strict=True):
        masked = row == MASK
        filled, run = [], []
        for hidden, token in zip([*masked.tolist(), False], [*guess.tolist(), 0], strict=True):
            if hidden:
                run.append(token)
            elif run:
                filled.append(tokenizer.decode(run))
                run = []
        answers.append({"text": tokenizer.decode(torch.where(masked, guess, row)), "filled": filled})
    return answers


def _flow(model: Answerer, pairs: Sequence[Any]) -> list[Tensor]:
    height, width = model.config.train_size

    def estimate(patches: Tensor) -> Tensor:
        return model(_to_device(patches, model)).cpu()

    frames = [[torch.from_numpy(open_image(image)) for image in pair] for pair in pairs]
    return [flow_of(first, second, (height, width), estimate) for first, second in frames]


def _reconstruct(model: Answerer, clips: Sequence[Any], *, top: int = 5) -> list[dict[str, Any]]:
    inputs = [clip_inputs(clip, model.config) for clip in clips]
    batch = {name: _to_device(torch.cat([one[name] for one in inputs]), model) for name in inputs[0]}
    outputs = model(batch)
    videos = outputs["image"].unflatten(1, model.config.output_shape[1:]).clamp(0, 1)
    named = _named(model, outputs["label"], top)
    return [
        {"video": video, "audio": audio, **label}
        for video, audio, label in zip(videos.cpu(), outputs["audio"].cpu(), named, strict=True)
    ]


def _tokens(model: Answerer, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, framed as in training; ``[MASK]`` in a text is the special token."""
    if model.config.vocab_size != VOCAB_SIZE:
        raise ValueError(
            f"texts are read as {VOCAB_SIZE} kinds of bytes; this model has {model.config.vocab_size} tokens"
        )
    ids, mask = ByteTokenizer().batch(texts, specials=True, frame=True)
    longest = model.config.max_position_embeddings
    if ids.shape[1] > longest:
        raise ValueError(f"a text must have at most {longest - 2} bytes, got {ids.shape[1] - 2}")
    return _to_device(ids, model), _to_device(mask, model)


def _named(model: Answerer, logits: Tensor, top: int) -> list[dict[str, Any]]:
    """The best classes of each sample, by name."""
    number = min(_checks.positive_int("top", top), logits.shape[-1])
    probabilities, classes = logits.float().softmax(-1).topk(number, dim=-1)
    answers = []
    for row, names in zip(probabilities.tolist(), classes.tolist(), strict=True):
        best = [(model.labels[name], probability) for name, probability in zip(names, row, strict=True)]
        answers.append({"label": best[0][0], "probability": best[0][1], "top": best})
    return answers


def _to_device(value: Tensor, model: Answerer) -> Tensor:
    return value.to(model.device)
