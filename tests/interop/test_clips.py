"""Clips from arrays and video files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interop.peers import PEERS
from interop.pictures import SMALL, picture
from perceiver_pytorch.interop import huggingface
from perceiver_pytorch.interop.clips import clip_inputs
from perceiver_pytorch.interop.published_perceiver import PublishedPerceiver


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
