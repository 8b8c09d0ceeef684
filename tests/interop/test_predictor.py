"""Raw inputs to answers: preprocessing against transformers' own, and answers against the model's logits."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from interop.peers import PEERS, built, save
from perceiver_pytorch.interop import flow, huggingface
from perceiver_pytorch.interop.clips import clip_inputs
from perceiver_pytorch.interop.images import ImageProcessing, open_image
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver
from perceiver_pytorch.models.text.byte_tokenizer import ByteTokenizer

SMALL = {"num_latents": 5, "d_latents": 16, "num_self_attends_per_block": 1, "num_cross_attention_heads": 1}


def small(task: str, **sizes: Any) -> PublishedPerceiver:
    torch.manual_seed(3)
    return PublishedPerceiver(task, {**SMALL, **sizes})


def picture(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    channels = [rows * 3 % 256, columns * 5 % 256, (rows * columns) % 256]
    return np.stack(channels, -1).astype(np.uint8)


@pytest.mark.parametrize("size", [(40, 61), (61, 40), (17, 17), (300, 260)])
@pytest.mark.parametrize("changes", [{}, {"size": {"height": 9, "width": 12}, "do_normalize": False}, {"size": 32}])
def test_pixels_are_those_of_transformers(size: tuple[int, int], changes: dict[str, Any]) -> None:
    from transformers.models.perceiver.image_processing_pil_perceiver import PerceiverImageProcessorPil

    image = Image.fromarray(picture(*size))
    theirs = PerceiverImageProcessorPil(**changes)
    expected = theirs(image, return_tensors="pt")["pixel_values"][0]
    actual = ImageProcessing.of(json.loads(theirs.to_json_string()))(image)
    torch.testing.assert_close(actual, expected.float(), rtol=0, atol=2e-6)


def test_images_of_every_form_are_the_same(tmp_path: Path) -> None:
    pixels = picture(20, 30)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    forms = [
        *(tmp_path / "image.png", str(tmp_path / "image.png"), Image.fromarray(pixels), pixels),
        *(torch.from_numpy(pixels), pixels.transpose(2, 0, 1), pixels / 255),
    ]
    assert all(np.array_equal(open_image(form), pixels) for form in forms)
    assert open_image(pixels[..., 0]).shape == (20, 30, 3)
    (tmp_path / "text.png").write_text("no image")
    for wrong, message in (
        (pixels[..., :2], r"got \(20, 30, 2\)"),
        (pixels * 1.0, "floats in \\[0, 1\\]"),
        (tmp_path / "text.png", "no image that Pillow can read"),
    ):
        with pytest.raises(ValueError, match=message):
            open_image(wrong)
    with pytest.raises(TypeError, match="got int"):
        open_image(3)


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


def test_patches_are_the_neighbours_of_a_pixel() -> None:
    frame = torch.randint(256, (5, 6, 3), dtype=torch.uint8)
    patches = flow.frame_patches(frame)
    assert patches.shape == (27, 5, 6)
    padded = torch.zeros(7, 8, 3)
    padded[1:-1, 1:-1] = frame.float() / 255 * 2 - 1
    for row, column in ((0, 0), (2, 3), (4, 5)):
        expected = padded[row : row + 3, column : column + 3].reshape(-1)
        torch.testing.assert_close(patches[:, row, column], expected)


@pytest.mark.parametrize("size", [(24, 30), (40, 65), (24, 100)])
def test_tiles_cover_an_image_and_a_constant_stays_one(size: tuple[int, int]) -> None:
    seen = torch.zeros(size)

    def model(patches: Tensor) -> Tensor:
        assert patches.shape == (1, 2, 27, 24, 30)
        return torch.tensor([0.25, -1.0]).expand(1, 24, 30, 2)

    first = torch.zeros(*size, 3, dtype=torch.uint8)
    field = flow.flow_of(first, first, (24, 30), model)
    torch.testing.assert_close(field, torch.tensor([5.0, -20.0]).expand(*size, 2))
    for length, tile in zip(size, (24, 30), strict=True):
        starts = flow.tile_starts(length, tile)
        assert starts[0] == 0
        assert starts[-1] + tile == length
        assert all(b - a <= tile - min(flow.OVERLAP, tile - 1) for a, b in itertools.pairwise(starts))
    assert seen.shape == size


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


def test_a_clip_is_reconstructed() -> None:
    torch.manual_seed(3)
    model = huggingface.PublishedPerceiver("multimodal-autoencoding", clip_sizes())
    clip = {"video": [picture(20, 24)] * 4, "audio": (np.sin(np.arange(120)) * 2**14).astype(np.int16)}
    answer = model.predict(clip)
    assert answer["video"].shape == (3, 16, 16, 3)
    assert answer["audio"].shape == (96,)
    assert answer["label"].startswith("LABEL_")
    inputs = clip_inputs(clip, model.config)
    assert inputs["image"].shape == (1, 3, 3, 16, 16)
    assert float(inputs["audio"].abs().max()) <= 0.5
    with torch.no_grad():
        outputs = model.eval()(inputs)
    torch.testing.assert_close(answer["video"], outputs["image"][0].view(3, 16, 16, 3).clamp(0, 1))
    silent = model.predict([{"video": torch.rand(3, 16, 16, 3)}, {"audio": torch.zeros(96)}])
    assert len(silent) == 2
    for wrong, message in (
        ({"video": [picture(9, 9)]}, "at least 3 frames, got 1"),
        ({"sound": torch.zeros(96)}, "'video', 'audio' or both"),
        ({"audio": torch.zeros(2, 96)}, r"audio must be \(samples,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(wrong)


def clip_sizes() -> dict[str, Any]:
    sizes = {name: value for name, value in PEERS["multimodal-autoencoding"].config.items() if name[0] != "_"}
    return {**SMALL, **sizes, "label_channels": 12}


def test_a_video_file_is_read_at_the_models_rates(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=50)
        stream.width = stream.height = 32
        for i in range(20):
            image = np.full((32, 32, 3), i * 12, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    model = PublishedPerceiver("multimodal-autoencoding", clip_sizes())
    inputs = clip_inputs(path, model.config)
    # Every second frame of 50 a second.
    brightness = inputs["image"].mean((0, 2, 3, 4)) * 255
    torch.testing.assert_close(brightness, torch.tensor([0.0, 24.0, 48.0]), rtol=0, atol=6)
    assert inputs["audio"].abs().max() == 0
    with pytest.raises(FileNotFoundError, match="is no file"):
        model.predict("nowhere.mp4")
