"""``perceiver explain`` of language models and published ones: pages, and errors for what it cannot show."""

import json
import re

import pytest
import torch
from PIL import Image

from cli_helpers import perceiver
from interop.pictures import SMALL, picture
from perceiver_pytorch import PerceiverIO
from perceiver_pytorch.cli.explaining_models import explain_saved, pictures_of, text_of
from perceiver_pytorch.explain.apart import Apart
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.text.byte_tokenizer import VOCAB_SIZE
from small_models import perceiver_io

TEXT = {"d_model": 16, "vocab_size": VOCAB_SIZE, "max_position_embeddings": 24}


def saved(folder, task, **sizes):
    torch.manual_seed(0)
    model = PublishedPerceiver(task, {**SMALL, **sizes}, preprocessing={"size": 16})
    model.save_pretrained(folder)
    return folder


def rows(page_folder):
    return json.loads((page_folder / "explanations.json").read_text())["rows"]


@pytest.mark.parametrize(("objective", "text", "byte"), [("causal", "To be or", 8), ("masked", "To [MASK]e", 3)])
def test_a_language_models_bytes_are_explained(tmp_path, objective, text, byte):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question. " * 40)
    perceiver(
        *("language", "text.txt", "--objective", objective, "--run", "run", "--steps", "2", "--context", "16"),
        *("--latents", "4", "--batch-size", "2", "--set", "model.latent_dim=16", "--set", "model.depth=1"),
        cwd=tmp_path,
    )
    done = perceiver("explain", "run", text, "-o", "why", "--heads", "0", cwd=tmp_path)
    assert "1 byte explained in why/index.html" in done.stdout
    assert [row["byte"] for row in rows(tmp_path / "why")] == [byte]
    page = (tmp_path / "why/index.html").read_text()
    assert f"Byte {byte}: text is" in page
    assert "Attention, layer 0, head 0" in page
    assert not re.search(r'(?:src|href)="http', page)
    done = perceiver("explain", "run", text, "--way", "occlusion", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "--way is for models of tables" in done.stderr


def test_a_published_classifier_of_pictures_is_explained(tmp_path):
    model = saved(tmp_path / "model", "image-fourier", num_labels=3)
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.fromarray(picture(20, 30)).save(tmp_path / f"pictures/{number}.png")
    assert explain_saved(model, str(tmp_path / "pictures"), [0, 2], Apart(), tmp_path / "why") == 0
    assert [row["picture"] for row in rows(tmp_path / "why")] == [0, 2]
    with Image.open(tmp_path / "why/picture-2/label.attention.picture.png") as drawn:
        assert drawn.height >= 16
    with pytest.raises(ValueError, match="has the pictures 0 to 2, got 3"):
        explain_saved(model, str(tmp_path / "pictures"), [3], Apart(), tmp_path / "why")
    with pytest.raises(ValueError, match="neither one nor a folder"):
        pictures_of(tmp_path / "none.png")


@pytest.mark.parametrize("task", ["masked-lm", "text-classification"])
def test_a_published_model_of_texts_is_explained(tmp_path, task):
    model = saved(tmp_path / "model", task, **TEXT, num_labels=3)
    assert explain_saved(model, "a [MASK] b", None, Apart(), tmp_path / "why") == 0
    (row,) = rows(tmp_path / "why")
    assert row["target"] == ("text" if task == "masked-lm" else "label")
    assert 0 < row["totals"]["attention"]["text"] < 1


def test_a_model_without_an_input_that_can_be_typed_is_told(tmp_path):
    saved(tmp_path / "flow", "optical-flow", train_size=[8, 8])
    with pytest.raises(ValueError, match="reads neither a text nor a picture; record its attention in Python"):
        explain_saved(tmp_path / "flow", "x", None, Apart(), tmp_path / "why")
    model = perceiver_io()
    assert isinstance(model, PerceiverIO)
    model.save_pretrained(tmp_path / "io")
    done = perceiver("explain", "io", "x", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "io has PerceiverIO, which reads neither" in done.stderr


def test_a_text_is_given_or_in_a_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\xff")
    assert text_of(str(tmp_path / "a.txt")).encode("utf-8", "surrogateescape") == b"a\xff"
    assert text_of("a" * 5000) == "a" * 5000
    assert text_of("a\0b") == "a\0b"
