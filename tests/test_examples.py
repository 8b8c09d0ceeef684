"""The examples run, and what they measure is what it says."""

import math
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # examples/ stands beside the package, not in it

for needed in ("av", "matplotlib", "sklearn", "typer"):
    pytest.importorskip(needed)

from examples import autoencode, multi_task, segmentation  # noqa: E402


def test_segmentation_draws_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "figures" / "scenes.png"
    segmentation.main(steps=2, batch=2, figure=figure, regression_scenes=4, test_scenes=6)
    out = capsys.readouterr().out
    assert "step 2/2" in out
    assert "test scenes of other writers: mIoU" in out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_scene_names_the_digit_of_each_pixel() -> None:
    images, labels = torch.zeros(2, 8, 8).numpy(), torch.tensor([3, 7]).numpy()
    images[:, 2:5, 2:5] = 1.0
    scenes, classes = segmentation.Scenes(images, labels, seed=0).draw(20)
    assert torch.equal(classes != segmentation.BACKGROUND, scenes > 0)
    assert {*classes.unique().tolist()} == {3, 7, segmentation.BACKGROUND}
    around = segmentation.surroundings(scenes)
    assert torch.equal(around[..., 12], scenes)
    assert torch.equal(around[:, 3, 4, 1], scenes[:, 1, 3])


def test_mean_iou_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import jaccard_score

    classes, predicted = torch.randint(11, (50, 8, 8)), torch.randint(11, (50, 8, 8))
    expected = jaccard_score(classes.flatten(), predicted.flatten(), average="macro")
    assert segmentation.mean_iou(predicted, classes) == pytest.approx(expected)
    assert segmentation.mean_iou(classes, classes) == 1


def test_autoencoding_a_built_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "clip.png"
    autoencode.main(segments=2, steps=2, pixels=64, figure=figure)
    out = capsys.readouterr().out
    assert "video: PSNR" in out
    assert "of 2 right" in out
    assert figure.exists()


def test_a_file_is_read_frame_by_frame_with_its_sound(tmp_path: Path) -> None:
    clip = autoencode.read_clip(write_video(tmp_path / "clip.mp4", frames=40), segments=2)
    assert clip.video.shape == (2, 16, 40, 40, 3)
    assert clip.audio.shape == (2, 16 * 8000 // 20 // 16, 16)
    brightness = clip.video.mean((2, 3, 4)).flatten()
    assert (brightness.diff() > 0).all()  # every frame is brighter than the one before
    inputs = clip.inputs()["video"]
    assert inputs.shape == (2, 16, 10, 10, 48)
    assert torch.equal(inputs[1, 3, 2, 5].view(4, 4, 3), clip.video[1, 3, 8:12, 20:24])


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    import typer

    with pytest.raises(typer.BadParameter, match="has 20 frames, 2 segments need 32"):
        autoencode.read_clip(write_video(tmp_path / "clip.mp4", frames=20), segments=2)


def test_decibels() -> None:
    true = torch.randn(1000)
    assert autoencode.snr(true * 1.1, true) == pytest.approx(20, abs=1e-3)
    assert autoencode.psnr(torch.zeros(4), torch.full((4,), 0.2)) == pytest.approx(20, abs=1e-3)


def test_the_bilinear_baseline_keeps_no_more_numbers_than_allowed() -> None:
    video = torch.rand(1, 16, 40, 40, 3)
    assert autoencode.bilinear(video, 16 * 40 * 40 * 3).allclose(video, atol=1e-5)
    coarse = autoencode.bilinear(video, 16 * 3)
    assert math.isclose(float(coarse.std((2, 3)).max()), 0, abs_tol=1e-5)


def write_video(path: Path, frames: int) -> Path:
    """A clip at 20 frames a second that grows brighter, with a tone."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=20)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=16000)
        audio.layout = "mono"
        for i in range(frames):
            picture = np.full((48, 64, 3), 20 + 5 * i, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        tone = np.sin(np.arange(frames * 800) / 16000 * 2 * np.pi * 440).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    return path


def test_three_tasks_are_trained_in_three_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "figure.png"
    multi_task.main(steps=1, batch=4, seeds=1, figure=figure)
    lines = capsys.readouterr().out.splitlines()
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| way",
        "| latents",
        "| groups",
        "| single",
    ]


def test_each_task_has_its_latent_or_its_group() -> None:
    rows = multi_task.Rows(torch.rand(2, 8, 8, 1), torch.rand(2, 15, 48), torch.tensor([[1, 2], [3, 0]]), {})
    tasks = {"written": 10, "dialled": 10, "answer": 19}
    for way, taken in (("latents", [[0], [1], [2]]), ("groups", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])):
        network = multi_task.Network(tasks, 5, way).eval()
        latents = torch.randn(2, 12, 64)
        with patch.object(network.encoder, "forward", lambda *_, latents=latents, **__: latents):
            outputs = network(rows)
        for (task, output), places in zip(outputs.items(), taken, strict=True):
            assert torch.allclose(output, network.heads[task](latents[:, places].mean(1)), atol=1e-6)
