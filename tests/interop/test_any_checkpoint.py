"""Any checkpoint becomes a model, and is written as ours, in Python and by command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from interop.lucidrains import lucidrains
from interop.peers import PEERS, built, save
from interop.test_upstream import IO, SINGLE, SMALL, saved
from perceiver_pytorch import DamagedFileError, InputModality, MultiModalityPerceiver, Perceiver, interop
from release import quiet, release_names

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def outputs(model: nn.Module, *inputs: object) -> torch.Tensor:
    with torch.no_grad(), quiet():
        return model(*inputs)


def test_a_published_checkpoint_is_written_as_ours(tmp_path: Path) -> None:
    source = save(built("image-fourier"), tmp_path / "there")
    interop.convert(source, tmp_path / "here")
    assert {"config.json", "model.safetensors"} <= {path.name for path in (tmp_path / "here").iterdir()}
    inputs = PEERS["image-fourier"].inputs()
    for model in (interop.load(tmp_path / "here"), interop.PublishedPerceiver.from_pretrained(tmp_path / "here")):
        torch.testing.assert_close(outputs(model, inputs), outputs(built("image-fourier"), inputs).logits)
    with pytest.raises(FileExistsError, match="is there already"):
        interop.convert(source, tmp_path / "here")


def write_weights(folder: Path, weights: dict[str, torch.Tensor] | bytes | None, name: str | None = None) -> None:
    file = folder / "model.safetensors"
    file.unlink()
    if isinstance(weights, bytes):
        file.write_bytes(weights)
    elif weights is not None:
        save_file(weights, file, metadata={} if name is None else {"class": name})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f, w: write_weights(f, {k: v for k, v in w.items() if k != "latents"}, "Perceiver"),
            r"does not fit config\.json: missing: latents",
        ),
        (lambda f, w: write_weights(f, {**w, "more": torch.zeros(1)}, "Perceiver"), r"config\.json: left over: more"),
        (
            lambda f, w: write_weights(f, {**w, "latents": torch.zeros(9, 9)}, "Perceiver"),
            r"latents must be \(4, 12\), got \(9, 9\)",
        ),
        (lambda f, w: write_weights(f, {**w}, "Nothing"), "has weights of Nothing, which is no class"),
        (lambda f, w: write_weights(f, {**w}), "names no class of this package"),
        (lambda f, w: write_weights(f, None), "has no weights, such as model.safetensors"),
        (lambda f, w: write_weights(f, b""), r"model\.safetensors cannot be read as weights"),
        (lambda f, w: write_weights(f, (f / "model.safetensors").read_bytes()[:-8]), "cannot be read as weights"),
        (lambda f, w: (f / "config.json").write_text("{}"), r"config\.json: .*num_freq_bands"),
        (lambda f, w: (f / "config.json").write_text("[]"), r"config\.json must hold a JSON object"),
    ],
)
def test_a_damaged_saved_model_is_told_as_such(damage, message: str, tmp_path: Path, capsys) -> None:
    model = Perceiver(**SINGLE, depth=1)
    model.save_pretrained(tmp_path)
    interop.load(tmp_path)
    assert not capsys.readouterr().out
    damage(tmp_path, dict(model.state_dict()))
    with pytest.raises(DamagedFileError, match=message):
        interop.load(tmp_path)


def test_a_missing_file_is_no_hub_repository() -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file nowhere\.pt"):
        interop.load("nowhere.pt")


def test_checkpoints_of_lucidrains_are_written_as_ours(tmp_path: Path) -> None:
    data = torch.randn(2, 9, 10)
    theirs = lucidrains().PerceiverIO(**IO)
    interop.convert(saved(theirs, tmp_path / "io.pt"), tmp_path / "io", latent_heads=2)
    torch.testing.assert_close(outputs(interop.load(tmp_path / "io"), data), outputs(theirs, data))
    theirs = lucidrains().Perceiver(**SINGLE, depth=3, weight_tie_layers=True)
    path = saved(theirs, tmp_path / "single.pt")
    interop.convert(path, tmp_path / "single", latent_heads=2, num_freq_bands=3, max_freq=9.0)
    image = torch.randn(2, 6, 5, 3)
    again = Perceiver.from_pretrained(tmp_path / "single")
    torch.testing.assert_close(outputs(again, image), outputs(theirs, image), rtol=1e-5, atol=1e-6)


def test_the_command_converts_a_checkpoint_of_the_release(tmp_path: Path) -> None:
    library = release_names()
    modality = {"name": "image", "input_channels": 3, "input_axis": 2, "num_freq_bands": 4, "max_freq": 7.0}
    theirs = library.MultiModalityPerceiver(
        modalities=[library.InputModality(**modality)], **SMALL, depth=2, num_classes=5
    )
    path = saved(theirs, tmp_path / "model.pt")
    (tmp_path / "arguments.json").write_text(json.dumps({"modalities": [modality]}))
    command = [sys.executable, "-c", "from perceiver_pytorch.cli import main; main()", "convert"]
    arguments = [str(path), str(tmp_path / "out"), "--arguments", str(tmp_path / "arguments.json")]
    done = subprocess.run([*command, *arguments, "-a", "latent_heads=2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MultiModalityPerceiver with" in done.stdout + done.stderr
    image = {"image": torch.randn(2, 6, 5, 3)}
    again = MultiModalityPerceiver.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(outputs(again, image), outputs(theirs, image), rtol=1e-5, atol=1e-6)
    refused = subprocess.run([*command, str(path), str(tmp_path / "new")], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "pass latent_heads" in refused.stderr


def test_any_saved_model_is_loaded_by_its_class(tmp_path: Path) -> None:
    model = MultiModalityPerceiver(modalities=[InputModality("image", 3, 2, 2, 4.0)], depth=1, **SMALL, num_classes=3)
    model.save_pretrained(tmp_path)
    again = interop.load(tmp_path)
    assert type(again) is MultiModalityPerceiver
    assert not again.training
    image = {"image": torch.randn(1, 4, 4, 3)}
    torch.testing.assert_close(outputs(again, image), outputs(model, image))
    with pytest.raises(TypeError, match="takes no arguments, got depth"):
        interop.load(tmp_path, depth=3)
    type("Mine", (MultiModalityPerceiver,), {})(
        modalities=[InputModality("image", 3, 2, 2, 4.0)], depth=1, **SMALL
    ).save_pretrained(tmp_path / "mine")
    with pytest.raises(ValueError, match="weights of Mine, which is no class of this package"):
        interop.load(tmp_path / "mine")
