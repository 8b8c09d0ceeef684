"""Copies, files and devices: a model comes back as it was."""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import perceiver_pytorch as P
from perceiver_pytorch._saved_files import DamagedFileError, MissingFileError
from perceiver_pytorch.models import saving as _saving
from small_models import CLASSES, audio, build, image, inputs, options, text

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "paper": {"style": "paper"},
    "own style": {"style": P.Style.of("paper", freq_scale="log")},
}
TIED = [name for name in CLASSES if not name.startswith("Hierarchical")]


def tying(model: nn.Module) -> dict[str, str]:
    """Every parameter's name, and the first name of the same parameter."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(p), name) for name, p in model.named_parameters(remove_duplicate=False)}


def assert_same(again: nn.Module, model: nn.Module, batch: Any) -> None:
    assert type(again) is type(model)
    assert again is not model
    assert torch.equal(again.eval()(batch), model.eval()(batch))
    assert tying(again) == tying(model)
    assert again.style == model.style
    assert {p.data_ptr() for p in again.parameters()}.isdisjoint({p.data_ptr() for p in model.parameters()})


@pytest.fixture(params=[*[(n, {}) for n in CLASSES], *[(n, {"weight_tie_layers": True}) for n in TIED]], ids=str)
def model_and_batch(request: pytest.FixtureRequest) -> tuple[nn.Module, Any]:
    name, changes = request.param
    return build(name, **changes), inputs(name)


def test_copied(model_and_batch: tuple[nn.Module, Any]) -> None:
    model, batch = model_and_batch
    assert_same(copy.deepcopy(model), model, batch)


def test_pickled(model_and_batch: tuple[nn.Module, Any]) -> None:
    model, batch = model_and_batch
    assert_same(pickle.loads(pickle.dumps(model)), model, batch)


def test_state_dict_saved_by_torch(model_and_batch: tuple[nn.Module, Any]) -> None:
    model, batch = model_and_batch
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = copy.deepcopy(model)
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert_same(again, model, batch)


def test_saved_and_loaded(model_and_batch: tuple[nn.Module, Any], tmp_path: Path) -> None:
    model, batch = model_and_batch
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path), model, batch)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_saved_with_its_style(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = build(name, **changes)
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path), model, inputs(name))


@pytest.mark.parametrize("name", CLASSES[1:])
def test_saved_with_learned_codes(name: str, tmp_path: Path) -> None:
    model = build(name, modality_code_dim=3)
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path), model, inputs(name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_from_before_there_was_a_width_of_feed_forwards_keeps_it(name: str, tmp_path: Path) -> None:
    model = build(name, style=P.Style.of("paper", widening_factor=4))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["widening_factor"], config["style"]["widening_factor"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_same(getattr(P, name).from_pretrained(tmp_path), model, inputs(name))


def test_a_loaded_model_is_saved_the_same(tmp_path: Path) -> None:
    model = build("MultiModalityWithTextPerceiver", weight_tie_layers=True, style="paper")
    model.save_pretrained(tmp_path / "first")
    type(model).from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    first, second = (tmp_path / name for name in ("first", "second"))
    assert (first / "config.json").read_text() == (second / "config.json").read_text()
    weights = [safetensors.torch.load_file(folder / "model.safetensors") for folder in (first, second)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_weights_are_as_readable_as_the_files_beside_them(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        build("MultiModalityWithTextPerceiver", modalities=[image()]).save_pretrained(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"] == 0o666 & ~umask


def test_the_configuration_is_readable(tmp_path: Path) -> None:
    modalities = (make() for make in (image, text))
    build("MultiModalityWithTextPerceiver", modalities=modalities).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["depth"] == 2
    assert config["num_latents"] == 4
    assert config["attn_dropout"] == 0.0
    assert config["style"]["weight_sharing"] == "release"
    assert [modality["name"] for modality in config["modalities"]] == ["image", "text"]
    assert config["modalities"][1]["embedding"] == {"num_embeddings": 19, "embedding_dim": 12, "padding_idx": None}


def test_a_plan_of_latents_of_ones_own_is_saved_as_numbers(tmp_path: Path) -> None:
    class Plan(P.HierarchicalConfigurator):
        def get_num_latents(self, layer_index: int) -> int:
            return 5 - layer_index

        def get_latent_dim(self, layer_index: int) -> int:
            return 6 + 3 * layer_index

    model = build("HierarchicalMultiModalityPerceiver", configurator=Plan(2, 5, 6))
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["configurator"] == {
        "num_latents": [5, 4],
        "latent_dims": [6, 9],
    }
    assert_same(type(model).from_pretrained(tmp_path), model, inputs("HierarchicalMultiModalityPerceiver"))


def test_scaled_modalities_are_saved(tmp_path: Path) -> None:
    model = build("MultiModalityPerceiver", modalities=[image(scale=[2 / 255] * 3, offset=-1), audio()])
    model.save_pretrained(tmp_path)
    assert_same(type(model).from_pretrained(tmp_path), model, inputs("MultiModalityPerceiver"))


class FirstLatent(P.MultiModalityPerceiver):
    def pool(self, x: Tensor) -> Tensor:
        return x[:, 0]


class Fixed(P.MultiModalityPerceiver):
    """A constructor of its own, which fixes most."""

    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__(
            modalities=[image(), audio()], depth=2, num_latents=3, latent_dim=width, num_classes=num_classes
        )


class Partly(P.MultiModalityPerceiver):
    """Fixes the modalities, and passes the rest on."""

    def __init__(self, num_classes: int = 3, **others: Any) -> None:
        super().__init__(modalities=[image(), audio()], depth=2, num_classes=num_classes, **others)


class Passing(P.MultiModalityPerceiver):
    """Passes everything on."""

    def __init__(self, **everything: Any) -> None:
        super().__init__(**everything)
        self.note = nn.Parameter(torch.ones(1))


SUBCLASSES = {
    "pool": (FirstLatent, options("MultiModalityPerceiver")),
    "constructor": (Fixed, {"num_classes": 4}),
    "constructor, changed": (Fixed, {"num_classes": 4, "width": 16}),
    "rest passed on": (Partly, {"num_latents": 3, "latent_dim": 8, "style": "paper"}),
    "style passed on": (Partly, {"num_latents": 3, "latent_dim": 8, "num_classes": 6, "style": P.Style.of("paper")}),
    "nothing passed on": (Partly, {}),
    "everything passed on": (Passing, options("MultiModalityPerceiver", style="paper")),
}


@pytest.mark.parametrize(("cls", "arguments"), SUBCLASSES.values(), ids=SUBCLASSES)
def test_subclasses_are_saved_and_loaded(cls: type[nn.Module], arguments: dict[str, Any], tmp_path: Path) -> None:
    model = cls(**arguments)
    model.save_pretrained(tmp_path)
    assert_same(cls.from_pretrained(tmp_path), model, inputs("MultiModalityPerceiver"))


def test_positional_arguments_of_a_subclass_are_saved(tmp_path: Path) -> None:
    model = Fixed(4, 16)
    model.save_pretrained(tmp_path)
    assert_same(Fixed.from_pretrained(tmp_path), model, inputs("MultiModalityPerceiver"))


def test_arguments_may_be_changed_while_loading(tmp_path: Path) -> None:
    build("MultiModalityPerceiver").save_pretrained(tmp_path)
    model = P.MultiModalityPerceiver.from_pretrained(tmp_path, attn_dropout=0.5)
    assert any(isinstance(m, nn.Dropout) and m.p == 0.5 for m in model.modules())


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """Weights that are missing would be left at random, unseen."""
    build("MultiModalityPerceiver").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    for changed in ({k: v for k, v in weights.items() if k != "latents"}, weights | {"more": torch.ones(1)}):
        safetensors.torch.save_file(changed, file)
        with pytest.raises(DamagedFileError, match=r"does not fit config.json: (missing: latents|left over: more)"):
            P.MultiModalityPerceiver.from_pretrained(tmp_path)
        P.MultiModalityPerceiver.from_pretrained(tmp_path, strict=False)


def test_a_file_of_weights_is_whole_or_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    model.save_pretrained(tmp_path)

    def fails(model: nn.Module, path: str, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(_saving, "save_model", fails)
    with pytest.raises(OSError, match="disk full"):
        build("MultiModalityPerceiver", num_classes=2)._save_pretrained(tmp_path)
    assert_same(P.MultiModalityPerceiver.from_pretrained(tmp_path), model, batch)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("tie", [False, True])
def test_built_without_memory_and_filled_later(name: str, tie: bool) -> None:
    changes = {} if name.startswith("Hierarchical") else {"weight_tie_layers": tie}
    model, batch = build(name, **changes), inputs(name)
    with torch.device("meta"):
        empty = build(name, **changes)
    assert all(p.is_meta for p in empty.parameters())
    on_meta = {k: v.to("meta") for k, v in batch.items()} if isinstance(batch, dict) else batch.to("meta")
    assert empty(on_meta).shape == model(batch).shape
    empty.to_empty(device="cpu")
    empty.load_state_dict(model.state_dict(), strict=True)
    assert_same(empty, model, batch)
    with torch.device("meta"):
        assigned = build(name, **changes)
    assigned.load_state_dict(copy.deepcopy(model.state_dict()), strict=True, assign=True)
    assert torch.equal(assigned(batch), model(batch))


def test_a_seed_gives_a_model_and_its_training_step() -> None:
    steps = []
    for _ in range(2):
        model = build("MultiModalityPerceiver", ff_dropout=0.2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(5)
        for _ in range(3):
            optimizer.zero_grad()
            model(inputs("MultiModalityPerceiver")).square().sum().backward()
            optimizer.step()
        steps.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(steps[0].values(), steps[1].values(), strict=True))


def saved(folder: Path) -> dict[str, Any]:
    """A model in a folder; its configuration."""
    build("MultiModalityPerceiver").save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 1_000_000}, r"config\.json: depth must make at most 10,000 blocks in all, got 2,000,000"),
        ({"depth": 5_000}, r"config\.json: it describes a model of more than \d+ weights, and the file has \d+"),
        ({"latent_dim": 10**6}, r"does not fit config\.json: latents must be \(\d+, 1000000\), got \(\d+, \d+\)"),
        ({"latent_dim": 10**18}, r"config\.json"),
        ({"latent_dim": 10**30}, r"config\.json"),
        ({"num_latents": "many"}, r"(?s)config\.json: .*num_latents"),
        ({"modalities": 3}, r"config\.json: modalities must be an iterable"),
        ({"modalities": [{"name": "image", "input_axis": 10**9}]}, r"config\.json: .*input_channels"),
        ({"style": {"freq_scale": []}}, r"config\.json"),
    ],
)
def test_a_configuration_is_compared_with_the_weights_first(change: Any, message: str, tmp_path: Path) -> None:
    config = saved(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(DamagedFileError, match=message):
        P.MultiModalityPerceiver.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"config\.json must hold a JSON object, got list"),
        ("[" * 100_000, r"config\.json is no JSON file: it is nested too deeply"),
        ('{"a": ', r"config\.json is no JSON file"),
        (None, r"there is no file .*config\.json"),
    ],
)
def test_a_damaged_configuration_is_told(content: str | None, message: str, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(DamagedFileError, match=message) as told:
        P.MultiModalityPerceiver.from_pretrained(tmp_path)
    assert isinstance(told.value, MissingFileError) == (content is None)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    for damaged in (b"", content[:5], content[:-1], b"\xff" * 8 + content[8:], content[:8] + b"{" * len(content)):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"model\.safetensors cannot be read as weights"):
            P.MultiModalityPerceiver.from_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(MissingFileError, match=r"there is no file .*model\.safetensors"):
        P.MultiModalityPerceiver.from_pretrained(tmp_path)
    os.mkfifo(file)
    with pytest.raises(DamagedFileError, match=r"model\.safetensors: must be a regular file, is a pipe"):
        P.MultiModalityPerceiver.from_pretrained(tmp_path)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: weight.half() for name, weight in weights.items()}, file)
    assert P.MultiModalityPerceiver.from_pretrained(tmp_path).latents.dtype == torch.float32
    safetensors.torch.save_file({name: weight.int() for name, weight in weights.items()}, file)
    with pytest.raises(DamagedFileError, match=r"must be like torch\.float32"):
        P.MultiModalityPerceiver.from_pretrained(tmp_path)


def test_loading_says_nothing_and_leaves_random_numbers_as_building_does(tmp_path: Path, capfd: Any) -> None:
    saved(tmp_path)
    torch.manual_seed(0)
    P.MultiModalityPerceiver.from_pretrained(tmp_path)
    after = torch.rand(3)
    torch.manual_seed(0)
    build_arguments = json.loads((tmp_path / "config.json").read_text())
    P.MultiModalityPerceiver(**build_arguments)
    assert torch.equal(torch.rand(3), after)
    assert capfd.readouterr() == ("", "")


def test_an_argument_that_there_is_not_is_no_damage(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(TypeError, match="MultiModalityPerceiver takes no lattents; it takes modalities, depth"):
        P.MultiModalityPerceiver.from_pretrained(tmp_path, lattents=3)


def test_weights_that_torch_saved_are_read_where_there_are_no_others(tmp_path: Path) -> None:
    model, batch = build("MultiModalityPerceiver"), inputs("MultiModalityPerceiver")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert_same(P.MultiModalityPerceiver.from_pretrained(tmp_path), model, batch)


class Reading(P.MultiModalityPerceiver):
    """Looks at its weights while it is made, which the meta device cannot."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.first = self.latents.flatten()[0].item()


def test_a_model_that_cannot_be_made_without_weights_is_loaded_all_the_same(tmp_path: Path) -> None:
    model = Reading(**options("MultiModalityPerceiver"))
    model.save_pretrained(tmp_path)
    assert_same(Reading.from_pretrained(tmp_path), model, inputs("MultiModalityPerceiver"))


class Greatest(P.Perceiver):
    """A model with a pooling of its own."""

    def pool(self, x: Tensor) -> Tensor:
        return x.amax(dim=-2)


def test_a_class_that_was_saved_by_another_says_so(tmp_path: Path) -> None:
    model = Greatest(**options("Perceiver"))
    model.save_pretrained(tmp_path / "greatest")
    assert_same(Greatest.from_pretrained(tmp_path / "greatest"), model, inputs("Perceiver"))
    with pytest.warns(UserWarning, match=r"saved by the class Greatest and is loaded as Perceiver.* pool, are lost"):
        again = P.Perceiver.from_pretrained(tmp_path / "greatest")
    assert not torch.allclose(again(inputs("Perceiver")), model(inputs("Perceiver")))
    build("Perceiver").save_pretrained(tmp_path / "plain")
    Greatest.from_pretrained(tmp_path / "plain")  # the pooling is what the caller asks for: no warning


def test_a_model_on_the_meta_device_draws_no_numbers():
    """For which PyTorch would load its compiler."""
    code = (
        "import sys; from torch import nn; from perceiver_pytorch.models.saving import on_meta\n"
        "model = on_meta(lambda: nn.ModuleList([nn.Embedding(3, 4), nn.Linear(4, 5)]), 100)\n"
        "assert [tuple(p.shape) for p in model.parameters()] == [(3, 4), (5, 4), (5,)]\n"
        "assert all(p.is_meta for p in model.parameters())\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
