"""Checkpoints in the format of transformers' Perceiver: a folder or a hub repository becomes a model of ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from perceiver_pytorch import _checks
from perceiver_pytorch._saved_files import DamagedFileError, Entry, MissingFileError, fitting, read_json, read_tensors
from perceiver_pytorch.interop.key_map import Rule, translate, translate_back
from perceiver_pytorch.interop.published_config import CLASSES, PublishedConfig
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.saving import check_weights, on_meta

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
FILES = (CONFIG, PREPROCESSOR, "model*.safetensors", "pytorch_model*.bin", "*.index.json")

_PARTS = {
    "attention.self.layernorm1": "norm",
    "attention.self.layernorm2": "norm_context",
    "attention.self.query": "to_q",
    "attention.self.key": "to_k",
    "attention.self.value": "to_v",
    "attention.output.dense": "to_out",
    "layernorm": "feed_forward_norm",
    "mlp.dense1": "feed_forward.0",
    "mlp.dense2": "feed_forward.3",
}


def _block(there: str, here: str) -> list[Rule]:
    return [Rule(f"{there}.{part}.{{what}}", f"{here}.{name}.{{what}}") for part, name in _PARTS.items()]


_ENCODER = [
    Rule("perceiver.embeddings.latents", "encoder.latents"),
    *_block("perceiver.encoder.cross_attention", "encoder.cross_attend"),
    *_block("perceiver.encoder.self_attends.{layer}", "encoder.layers.{layer}"),
]
_TEXT = [
    Rule("perceiver.input_preprocessor.embeddings.weight", "reader.embedding.weight"),
    Rule("perceiver.input_preprocessor.position_embeddings.weight", "reader.positions"),
]
_CLASSES = [
    Rule("perceiver.decoder.decoder.output_position_encodings.position_embeddings", "decoder.queries"),
    *_block("perceiver.decoder.decoder.decoding_cross_attention", "decoder.block"),
    Rule("perceiver.decoder.decoder.final_layer.{what}", "decoder.head.{what}"),
]
RULES: dict[str, list[Rule]] = {
    "masked-lm": [
        *_ENCODER,
        *_TEXT,
        Rule("perceiver.decoder.output_position_encodings.position_embeddings", "decoder.queries"),
        *_block("perceiver.decoder.decoding_cross_attention", "decoder.block"),
        Rule("embedding_decoder.bias", "decoder.bias"),
    ],
    "text-classification": [*_ENCODER, *_TEXT, *_CLASSES],
    "image-learned": [
        *_ENCODER,
        Rule("perceiver.input_preprocessor.convnet_1x1.{what}", "reader.pixels.{what}"),
        Rule("perceiver.input_preprocessor.position_embeddings.position_embeddings", "reader.positions"),
        Rule("perceiver.input_preprocessor.positions_projection.{what}", "reader.position_projection.{what}"),
        *_CLASSES,
    ],
    "image-fourier": [*_ENCODER, *_CLASSES],
    "image-conv": [
        *_ENCODER,
        Rule("perceiver.input_preprocessor.convnet.{part}.{what}", "reader.{part}.{what}"),
        *_CLASSES,
    ],
    "optical-flow": [
        *_ENCODER,
        Rule("perceiver.input_preprocessor.conv_after_patches.{what}", "reader.patches.{what}"),
        *_block("perceiver.decoder.decoder.decoding_cross_attention", "decoder.block"),
        Rule("perceiver.decoder.decoder.final_layer.{what}", "decoder.head.{what}"),
    ],
    "multimodal-autoencoding": [
        *_ENCODER,
        Rule("perceiver.input_preprocessor.{what}.{modality}", "reader.{what}.{modality}"),
        Rule(
            "perceiver.decoder.modalities.label.decoder.output_position_encodings.position_embeddings",
            "decoder.label_query",
        ),
        Rule("perceiver.decoder.padding.{modality}", "decoder.padding.{modality}"),
        *_block("perceiver.decoder.decoder.decoding_cross_attention", "decoder.block"),
        Rule("perceiver.decoder.decoder.final_layer.{what}", "decoder.head.{what}"),
        Rule(
            "perceiver.output_postprocessor.modalities.{modality}.classifier.{what}",
            "decoder.outputs.{modality}.{what}",
        ),
    ],
}
"""transformers' names of weights, and ours, by task."""


def load(path_or_repo: str | Path, *, revision: str | None = None, task: str | None = None) -> PublishedPerceiver:
    """A published Perceiver as a model of ours, with the same outputs.

    Args:
        path_or_repo: a folder with ``config.json`` and weights (``model.safetensors``, ``pytorch_model.bin``, or either
            in several files with an index), or a hub repository such as ``"deepmind/vision-perceiver-fourier"``.
        revision: branch, tag or commit of the repository.
        task: see `PublishedPerceiver`; only needed where ``config.json`` does not name the model's class.

    Returns:
        The model, in evaluation mode, in float32.

    Raises:
        DamagedFileError: if the configuration is not a Perceiver's, its class is unknown, or the weights are not those
            of the configuration; names the file. It is a FileNotFoundError as well if files are missing.
        ConnectionError: if the hub cannot be reached.
    """
    folder = find(path_or_repo, revision)
    values = read_json(folder / CONFIG)
    path = folder / PREPROCESSOR
    preprocessing = read_json(path) if path.is_file() else {}
    weights = read_weights(folder)
    with fitting(folder / CONFIG, "the configuration of a Perceiver"):
        task, config = task_of(values, task), PublishedConfig.from_huggingface(values)
        model = on_meta(lambda: PublishedPerceiver(task, config, preprocessing=preprocessing), len(weights))
    assert isinstance(model, PublishedPerceiver)
    _fill(model, weights, folder)
    return model.eval()


def state_dict_of(model: PublishedPerceiver) -> dict[str, Tensor]:
    """The weights of a model under transformers' names, to be loaded there."""
    return translate_back(model.state_dict(), RULES[model.task])


def find(path_or_repo: str | Path, revision: str | None = None) -> Path:
    """The folder itself, or where the hub repository's files are kept after download."""
    folder = Path(path_or_repo)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise MissingFileError(f"{folder} has no {CONFIG}; a checkpoint's folder holds it beside the weights")
        return folder
    name = str(path_or_repo)
    if folder.suffix in (".pt", ".pth", ".ckpt", ".bin", ".safetensors"):
        raise MissingFileError(f"there is no file {name}")
    if folder.exists() or name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"{name} is neither a folder nor the name of a hub repository (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise FileNotFoundError(f"{name} is neither a folder nor a hub repository that can be read: {error}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ConnectionError(
            f"{name} is no folder here, and as a hub repository it can neither be downloaded nor found among those "
            f"downloaded before ({type(error).__name__}); give a folder with {CONFIG} and the weights, or go online"
        ) from error


def task_of(values: Mapping[str, Any], task: str | None = None) -> str:
    """The task of a ``config.json``, or what the caller says where that names none."""
    kind = values.get("model_type")
    if kind not in (None, "perceiver"):
        raise ValueError(f"{CONFIG}: model_type must be 'perceiver', got {kind!r}")
    if task is not None:
        return _checks.choice("task", task, tuple(RULES))
    classes = values.get("architectures") or []
    if not classes:
        raise ValueError(f"{CONFIG} names no class (architectures); pass task=, one of {', '.join(RULES)}")
    known = [name for name in classes if name in CLASSES]
    if not known:
        raise ValueError(
            f"{CONFIG}: architectures must be one of {', '.join(CLASSES)}; got {', '.join(map(str, classes))}"
        )
    return CLASSES[known[0]]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder: in one file, or in several that an index lists; safetensors first."""
    for name in (SAFETENSORS, PICKLED):
        if (folder / name).is_file():
            return read_file(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            weights: dict[str, Tensor] = {}
            places = read_json(index).get("weight_map")
            if not isinstance(places, dict) or not all(isinstance(part, str) for part in places.values()):
                raise DamagedFileError(f"{index} must have a weight_map of names and files")
            for part in sorted(set(places.values())):
                if Path(part).name != part or not (folder / part).is_file():
                    raise MissingFileError(f"{index} names {part}, which is not in the folder")
                weights |= read_file(folder / part)
            return weights
    raise MissingFileError(f"{folder} has no weights: neither {SAFETENSORS} nor {PICKLED}, nor an index of several")


def read_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name."""
    weights = read_tensors(path)
    if not isinstance(weights, Mapping) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise DamagedFileError(f"{path} must hold a mapping of names to tensors")
    return dict(weights)


def _fill(model: PublishedPerceiver, weights: dict[str, Tensor], folder: Path) -> None:
    """Gives the model, on the meta device, its weights: all of them, and nothing else."""
    try:
        ours = translate(weights, RULES[model.task])
    except ValueError as error:
        raise DamagedFileError(f"{folder}: {error}; is it a checkpoint for {model.task}?") from error
    check_weights(model, {name: Entry.of(weight) for name, weight in ours.items()}, folder)
    for name, weight in ours.items():
        ours[name] = weight.float() if weight.is_floating_point() else weight
    model.load_state_dict(ours, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_()
