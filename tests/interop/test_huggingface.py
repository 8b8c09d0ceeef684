"""Checkpoints of transformers' Perceiver: outputs and gradients of every class, and what may be wrong with a folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interop.peers import PEERS, built, save
from perceiver_pytorch import DamagedFileError
from perceiver_pytorch.interop import huggingface
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.ops import backend_names, use_backend

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TASKS = list(PEERS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {task: save(built(task), tmp_path_factory.mktemp(task)) for task in TASKS}


def flat(outputs: Any) -> dict[str, Tensor]:
    return dict(outputs) if isinstance(outputs, dict) else {"logits": outputs}


def floats(inputs: Any) -> dict[str, Tensor]:
    values = inputs if isinstance(inputs, dict) else {"inputs": inputs}
    return {name: value for name, value in values.items() if value.requires_grad}


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def loss_of(outputs: Any) -> Tensor:
    """A number that every output takes part in."""
    torch.manual_seed(2)
    return sum((value * torch.randn(value.shape)).sum() for value in flat(outputs).values())


@pytest.mark.parametrize("task", TASKS)
def test_outputs_are_those_of_transformers(task: str, folders: dict[str, Path]) -> None:
    peer, inputs = PEERS[task], PEERS[task].inputs()
    with torch.no_grad():
        expected = flat(built(task)(inputs=inputs, **peer.options()).logits)
        actual = flat(huggingface.load(folders[task])(inputs, **peer.options()))
    assert list(map(str, sorted(actual))) == sorted(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape
        assert relative_difference(actual[name], value) < 1e-5, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_other_configurations_have_the_outputs_of_transformers(task: str, dtype: torch.dtype, tmp_path: Path) -> None:
    names = {0: "ant", 1: "bee", 2: "cow", 3: "dog"}
    sizes = {"d_latents": 16, "v_channels": 16, "qk_channels": 8, "num_latents": 3, "num_blocks": 3}
    widths = {"self_attention_widening_factor": 2, "cross_attention_widening_factor": 3}
    reading = {"use_query_residual": False, "cross_attention_shape_for_attention": "q", "layer_norm_eps": 1e-3}
    own = {
        "image-learned": {"image_size": 6},
        "optical-flow": {"train_size": [7, 4]},
        "multimodal-autoencoding": {"samples_per_patch": 8, "audio_samples_per_frame": 32, "output_num_channels": 4},
    }
    config = {
        **PEERS[task].config,
        **sizes,
        **widths,
        **reading,
        "attention_probs_dropout_prob": 0.1,
        **own.get(task, {}),
    }
    if config.pop("num_labels", None):
        config |= {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    peer = dataclasses.replace(PEERS[task], config=config)
    theirs = peer.build().to(dtype)
    ours = huggingface.load(save(theirs, tmp_path))
    inputs = dataclasses.replace(peer, config={**config, "num_labels": len(names)}).inputs()
    points = {"image": torch.tensor([0, 5, 767]), "audio": torch.tensor([11, 0]), "label": None}
    options = {"subsampled_output_points": points} if peer.options() else {}
    with torch.no_grad():
        expected = flat(theirs.float()(inputs=inputs, **options).logits)
        actual = flat(ours(inputs, **options))
    for name, value in expected.items():
        assert relative_difference(actual[name], value) < 1e-5, name
    if "id2label" in config:
        assert ours.labels == list(names.values())


@pytest.mark.parametrize("task", TASKS)
def test_gradients_are_those_of_transformers(task: str, folders: dict[str, Path]) -> None:
    theirs, ours = PEERS[task].build(), huggingface.load(folders[task])
    gradients = []
    for model in (theirs, ours):
        inputs = PEERS[task].inputs()
        outputs = model(inputs=inputs, **PEERS[task].options())
        loss_of(outputs if model is ours else outputs.logits).backward()
        found = {name: p.grad for name, p in model.named_parameters()}
        gradients.append((found, {name: value.grad for name, value in floats(inputs).items()}))
    (their_weights, their_inputs), (our_weights, our_inputs) = gradients
    zeros = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    our_weights = huggingface.translate_back(
        {name: zeros[name] if grad is None else grad for name, grad in our_weights.items()}, huggingface.RULES[task]
    )
    assert our_weights.keys() == their_weights.keys()
    largest = max(float(grad.abs().max()) for grad in their_weights.values() if grad is not None)
    for name, grad in their_weights.items():
        grad = torch.zeros_like(our_weights[name]) if grad is None else grad
        difference = (our_weights[name] - grad).abs() - 2e-4 * grad.abs()
        assert float(difference.max()) < 3e-6 * largest, name
    for name, grad in their_inputs.items():
        assert relative_difference(our_inputs[name], grad) < 1e-4, name


@pytest.mark.parametrize("backend", [name for name in backend_names() if name != "triton"])
@pytest.mark.parametrize(
    "task", ["image-fourier", pytest.param("optical-flow", marks=pytest.mark.nightly), "multimodal-autoencoding"]
)
def test_every_backend_reads_the_published_order_of_channels(task: str, backend: str, folders: dict[str, Path]) -> None:
    if backend == "compiled" and task == "multimodal-autoencoding":
        pytest.skip("the masked label's token has more channels than it takes")
    inputs, model = PEERS[task].inputs(), huggingface.load(folders[task])
    with torch.no_grad():
        expected = flat(model(inputs, **PEERS[task].options()))
        with use_backend(backend):
            actual = flat(model(inputs, **PEERS[task].options()))
    for name, value in expected.items():
        assert relative_difference(actual[name], value) < 1e-5


@pytest.mark.parametrize("task", ["masked-lm", "text-classification", "image-fourier"])
def test_masked_tokens_are_not_attended_to(task: str, folders: dict[str, Path]) -> None:
    inputs = PEERS[task].inputs().detach()
    tokens = inputs.shape[1] if inputs.dim() == 2 else inputs.shape[2:].numel()
    mask = (torch.rand(len(inputs), tokens) > 0.5).long()
    with torch.no_grad():
        expected = built(task)(inputs=inputs, attention_mask=mask).logits
        model = huggingface.load(folders[task])
        assert relative_difference(model(inputs, mask), expected) < 1e-5
        assert relative_difference(model(inputs, attention_mask=mask.bool()), expected) < 1e-5
        assert relative_difference(model(inputs), expected) > 1e-3


def test_learned_positions_fit_another_size(folders: dict[str, Path]) -> None:
    model = huggingface.load(folders["image-learned"])
    inputs = torch.randn(2, 3, 12, 7)
    with torch.no_grad():
        expected = built("image-learned")(inputs=inputs, interpolate_pos_encoding=True).logits
        assert relative_difference(model(inputs, interpolate_pos_encoding=True), expected) < 1e-5
    with pytest.raises(ValueError, match=r"inputs must be \(batch, 3, 9, 9\), got \(2, 3, 12, 7\)"):
        model(inputs)


def test_all_points_of_a_clip_are_decoded_without_points(folders: dict[str, Path]) -> None:
    model, inputs = huggingface.load(folders["multimodal-autoencoding"]), PEERS["multimodal-autoencoding"].inputs()
    with torch.no_grad():
        everything = model(inputs)
        points = {"image": torch.arange(3 * 16 * 16), "audio": torch.arange(24)}
        expected = built("multimodal-autoencoding")(inputs=inputs, subsampled_output_points={**points, "label": None})
    for name, value in expected.logits.items():
        assert relative_difference(everything[name], value) < 1e-5


@pytest.mark.parametrize("form", ["pickled", "sharded"])
def test_other_forms_of_weights(form: str, tmp_path: Path) -> None:
    task = "image-fourier"
    options = {"pickled": True} if form == "pickled" else {"max_shard_size": "20KB"}
    folder = save(built(task), tmp_path, **options)
    assert (folder / "model.safetensors").exists() is False
    inputs = PEERS[task].inputs()
    with torch.no_grad():
        assert relative_difference(huggingface.load(folder)(inputs), built(task)(inputs=inputs).logits) < 1e-5


@pytest.mark.parametrize("task", TASKS)
def test_weights_go_back_to_transformers(task: str, folders: dict[str, Path]) -> None:
    back = huggingface.state_dict_of(huggingface.load(folders[task]))
    expected = built(task).state_dict()
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], value) for name, value in expected.items())


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_model_loads_again(task: str, folders: dict[str, Path], tmp_path: Path) -> None:
    model = huggingface.load(folders[task])
    model.save_pretrained(tmp_path)
    again = PublishedPerceiver.from_pretrained(tmp_path)
    assert (again.task, again.config) == (model.task, model.config)
    inputs = PEERS[task].inputs()
    with torch.no_grad():
        for name, value in flat(model(inputs, **PEERS[task].options())).items():
            assert relative_difference(flat(again(inputs, **PEERS[task].options()))[name], value) < 1e-6


def edited(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of a checkpoint with other values in its configuration; None removes one."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    values = json.loads((target / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": None}, "names no class"),
        ({"architectures": ["BertModel"]}, "architectures must be one of .*got BertModel"),
        ({"model_type": "bert"}, "model_type must be 'perceiver', got 'bert'"),
        ({"hidden_act": "relu"}, "hidden_act must be 'gelu', got 'relu'"),
        ({"num_latents": 8}, r"does not fit config.json: encoder.latents must be \(8, 24\), got \(7, 24\)"),
        ({"num_latents": "many"}, "num_latents must be an integer"),
        ({"num_self_attends_per_block": 3}, "missing: encoder.layers.2"),
        ({"num_self_attends_per_block": 1}, "left over: encoder.layers.1"),
        ({"architectures": ["PerceiverForMaskedLM"]}, "is it a checkpoint for masked-lm"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(
    changes: dict[str, Any], message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        huggingface.load(edited(folders["image-fourier"], tmp_path, **changes))


def test_a_task_may_be_given_where_the_configuration_names_none(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = edited(folders["image-fourier"], tmp_path, architectures=None)
    assert huggingface.load(folder, task="image-fourier").task == "image-fourier"
    with pytest.raises(ValueError, match="did you mean 'image-fourier'"):
        huggingface.load(folder, task="image-furier")


def test_missing_files_and_repositories(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config.json"):
        huggingface.load(tmp_path)
    edited(folders["image-fourier"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has no weights"):
        huggingface.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read as weights"):
        huggingface.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a folder nor the name of a hub repository"):
        huggingface.load(tmp_path / "nowhere")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ConnectionError, match="nobody/nothing is no folder here"):
        huggingface.load("nobody/nothing")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_self_attends_per_block": 1_000_000}, r"config\.json: depth must make at most 10,000 blocks"),
        ({"num_self_attends_per_block": 2_000}, r"config\.json: it describes a model of more than \d+ weights"),
        ({"d_latents": 10**6}, r"must be \([\d, ]+\), got \([\d, ]+\)"),
        ({"id2label": [3]}, r"config\.json"),
    ],
)
def test_wrong_sizes_are_told_before_they_are_built(
    folders: dict[str, Path], tmp_path: Path, sizes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DamagedFileError, match=message):
        huggingface.load(edited(folders["image-fourier"], tmp_path, **sizes))


def test_pickled_weights_run_no_code(folders: dict[str, Path], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    edited(folders["image-fourier"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weights": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin cannot be read as weights"):
        huggingface.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_modules_are_whole(folders: dict[str, Path]) -> None:
    """No parameter is left on the meta device, and all are trained."""
    for task in TASKS:
        model: nn.Module = huggingface.load(folders[task])
        assert all(p.device.type == "cpu" and p.requires_grad for p in model.parameters())
        assert not model.training


@pytest.mark.parametrize("task", TASKS)
def test_half_precision_is_close(task: str, folders: dict[str, Path]) -> None:
    peer, inputs = PEERS[task], PEERS[task].inputs()
    model = huggingface.load(folders[task])
    with torch.no_grad():
        expected = flat(model(inputs, **peer.options()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            under_autocast = flat(model(inputs, **peer.options()))
        model.to(torch.bfloat16)
        narrow = {name: value.bfloat16() if value.is_floating_point() else value for name, value in pairs(inputs)}
        converted = flat(model(narrow if isinstance(inputs, dict) else narrow["inputs"], **peer.options()))
    for name, value in expected.items():
        assert relative_difference(under_autocast[name].float(), value) < 0.1
        assert relative_difference(converted[name].float(), value) < 0.1


def pairs(inputs: Any) -> list[tuple[str, Tensor]]:
    return list(inputs.items()) if isinstance(inputs, dict) else [("inputs", inputs)]
