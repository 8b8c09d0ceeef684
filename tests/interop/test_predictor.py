"""Raw inputs to answers: preprocessing against transformers' own, and answers against the model's logits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from interop.peers import built, save
from interop.pictures import SMALL, picture
from perceiver_pytorch.interop import flow, huggingface
from perceiver_pytorch.interop.images import ImageProcessing
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.text.byte_tokenizer import ByteTokenizer


def small(task: str, **sizes: Any) -> PublishedPerceiver:
    torch.manual_seed(3)
    return PublishedPerceiver(task, {**SMALL, **sizes})


def test_tokens_are_those_of_transformers() -> None:
    from transformers import PerceiverTokenizer

    texts = ["Grüße [MASK][MASK]!", "a"]
    theirs = PerceiverTokenizer()(texts, padding=True, return_tensors="pt")
    ids, mask = ByteTokenizer().batch(texts, specials=True, frame=True)
    assert torch.equal(ids, theirs["input_ids"])
    assert torch.equal(mask.long(), theirs["attention_mask"])


def test_an_image_gets_its_classes(tmp_path: Path) -> None:
    model = small("image-fourier", num_labels=3, id2label=["cat", "dog", "owl"])
    model.preprocessing = {"size": 16}
    images = [picture(30, 40), Image.fromarray(picture(25, 25))]
    answers = model.predict(images, top=2, batch_size=1)
    with torch.no_grad():
        process = ImageProcessing.of({"size": 16})
        expected = model(torch.stack([process(image) for image in images])).softmax(-1)
    for answer, row in zip(answers, expected, strict=True):
        assert answer["label"] == ["cat", "dog", "owl"][row.argmax()]
        assert answer["probability"] == pytest.approx(float(row.max()), rel=1e-5)
        assert [p for _, p in answer["top"]] == pytest.approx(sorted(row.tolist(), reverse=True)[:2], rel=1e-5)
    assert model.predict(images[0])["label"] == answers[0]["label"]
    assert model.training
    assert len(model.predict(np.stack([picture(20, 20)] * 3))) == 3


def test_preprocessing_is_read_from_the_folder_and_kept(tmp_path: Path) -> None:
    folder = save(built("image-conv"), tmp_path / "there")
    values = {"size": 32, "crop_size": 40, "resample": 2, "image_mean": [0.5] * 3, "feature_extractor_type": "…"}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    model = huggingface.load(folder)
    model.save_pretrained(tmp_path / "here")
    again = PublishedPerceiver.from_pretrained(tmp_path / "here")
    assert ImageProcessing.of(again.preprocessing) == ImageProcessing(
        size=(32, 32), crop_size=(40, 40), resample=2, image_mean=(0.5, 0.5, 0.5)
    )
    assert again.predict(picture(50, 50))["probability"] == pytest.approx(model.predict(picture(50, 50))["probability"])


def test_positions_that_are_learned_decide_the_size() -> None:
    model = small("image-learned", image_size=11)
    assert model.predict(picture(50, 50))["label"] in ("LABEL_0", "LABEL_1")


def test_masks_are_filled_in() -> None:
    model = small("masked-lm", d_model=16, qk_channels=8, v_channels=16, max_position_embeddings=40)
    answers = model.predict(["ab[MASK][MASK]cd[MASK]", "no masks"])
    ids, mask = ByteTokenizer().batch(["ab[MASK][MASK]cd[MASK]", "no masks"], specials=True, frame=True)
    with torch.no_grad():
        best = model(ids, mask)[0, [3, 4, 7], 6:].argmax(-1) + 6
    tokenizer = ByteTokenizer()
    assert answers[0]["filled"] == [tokenizer.decode(best[:2]), tokenizer.decode(best[2:])]
    assert tokenizer.encode(answers[0]["text"])[:2] == tokenizer.encode("ab")
    assert answers[1] == {"text": "no masks", "filled": []}
    with pytest.raises(ValueError, match="at most 38 bytes, got 39"):
        model.predict("a" * 39)


def test_text_gets_its_class() -> None:
    model = small("text-classification", d_model=16, max_position_embeddings=30, num_labels=2)
    answers = model.predict(["good", "a longer text"])
    for text, answer in zip(("good", "a longer text"), answers, strict=True):
        one = model.predict(text)  # padding has no influence
        assert one["label"] == answer["label"]
        assert one["probability"] == pytest.approx(answer["probability"], rel=1e-4)


def test_flow_of_one_tile_is_twenty_times_the_output() -> None:
    model = small("optical-flow", train_size=(12, 14))
    frames = [picture(12, 14), picture(12, 14)[::-1].copy()]
    field = model.predict(frames)
    patches = torch.stack([flow.frame_patches(torch.from_numpy(frame)) for frame in frames])
    with torch.no_grad():
        torch.testing.assert_close(field, 20 * model(patches[None])[0])
    larger = [picture(20, 30), picture(20, 30)]
    assert [f.shape for f in model.predict([(frames[0], frames[1]), tuple(larger)])] == [(12, 14, 2), (20, 30, 2)]
    with pytest.raises(ValueError, match="at least as large as the model's tile: 12, got 8"):
        model.predict((picture(8, 20), picture(8, 20)))
    with pytest.raises(ValueError, match="both frames must have one size"):
        model.predict((picture(12, 20), picture(12, 14)))
