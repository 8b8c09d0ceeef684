"""Multi-modal autoencoding: a clip's video, sound and a label, out of one latent array.

A clip is cut into segments. The model reads a segment (video as patches of 4 x 4 pixels, sound as patches of 16
samples) into its latents, and gives it back: each pixel's colour and each patch of sound by a query of its position,
and which segment it was by a learned query. In training a part of the pixels is asked for at each step; at the end all
of them are, chunk by chunk. One pixel in ten is never asked for in training.

The model is fitted to the clip that it then gives back: what is measured is how well latents and decoder hold it, not
how well they do on other clips. Baselines keep as many numbers per segment as the latents have: frames made smaller and
enlarged again (bilinear); and the mean colour.

    python -m examples.autoencode CLIP.mp4 --figure docs/figures/autoencode.png

Without a file the clip is built: a walk over a photograph that scikit-learn brings along, with dialled tones.
"""

import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import torch
import torch.nn.functional as F
import typer
from matplotlib.figure import Figure
from torch import Tensor

from examples.training import INK, OURS, Curve, draw_curve, train
from perceiver_pytorch import FourierQueries, InputModality, LearnedQueries, Output, PerceiverIO
from perceiver_pytorch.nn import random_indices, take

FRAMES, SIZE, PATCH = 16, 40, 4
RATE, SAMPLES_PER_PATCH = 8000, 16


@dataclass(frozen=True, eq=False)
class Clip:
    """Segments of a clip.

    Args:
        video: ``(segments, 16, 40, 40, 3)`` in [-1, 1].
        audio: ``(segments, patches, 16)``, of deviation 1.
    """

    video: Tensor
    audio: Tensor

    def inputs(self) -> dict[str, Tensor]:
        """What the model reads: patches ``(segments, 16, 10, 10, 48)`` and ``(segments, patches, 16)``."""
        grid = self.video.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))  # (s, t, h, 4, w, 4, 3)
        return {"video": grid.transpose(3, 4).flatten(4), "audio": self.audio}


def read_clip(path: Path, segments: int) -> Clip:
    """The first frames of a video file and the sound that goes with them."""
    wanted = segments * FRAMES
    with av.open(str(path)) as container:
        if not container.streams.video or not container.streams.audio:
            raise typer.BadParameter(f"{path} must have video and sound")
        rate = float(container.streams.video[0].average_rate or 25)
        frames = [_square(f.to_ndarray(format="rgb24")) for f in islice(container.decode(video=0), wanted)]
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    if len(frames) < wanted:
        raise typer.BadParameter(f"{path} has {len(frames)} frames, {segments} segments need {wanted}; see --segments")
    return _clip(torch.stack(frames), torch.from_numpy(np.concatenate(parts)), segments, rate)


def built_clip(segments: int) -> Clip:
    """A walk over a photograph, and a dialled tone for each segment: for who has no file at hand."""
    from sklearn.datasets import load_sample_image

    from perceiver_pytorch.data.builtin.dtmf import dialled

    photo = load_sample_image("china.jpg")
    steps = np.linspace(0, 1, segments * FRAMES)
    corners = [(int(170 * t), int(400 * t)) for t in steps]
    frames = torch.stack([_square(photo[top : top + 240, left : left + 240]) for top, left in corners])
    random = np.random.default_rng(0)
    tones = np.concatenate([np.resize(dialled(i % 10, random), FRAMES * RATE // 25) for i in range(segments)])
    return _clip(frames, torch.from_numpy(tones), segments, 25.0)


def _square(frame: np.ndarray) -> Tensor:
    """The middle of a frame (height, width, 3) uint8 as (40, 40, 3) in [-1, 1]."""
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    image = torch.from_numpy(frame[top : top + side, left : left + side].copy()).permute(2, 0, 1).float() / 127.5 - 1
    return F.interpolate(image[None], (SIZE, SIZE), mode="bilinear", antialias=True)[0].permute(1, 2, 0)


def _clip(frames: Tensor, sound: Tensor, segments: int, frame_rate: float) -> Clip:
    """Cuts frames and sound into segments of the same time."""
    patches = int(FRAMES / frame_rate * RATE) // SAMPLES_PER_PATCH
    needed = segments * patches * SAMPLES_PER_PATCH
    sound = F.pad(sound.float(), (0, max(0, needed - len(sound))))[:needed]
    audio = sound.view(segments, patches, SAMPLES_PER_PATCH)
    return Clip(frames.unflatten(0, (segments, FRAMES)), audio / audio.std().clamp_min(1e-6))


def build_model(clip: Clip) -> PerceiverIO:
    segments, patches, _ = clip.audio.shape
    return PerceiverIO(
        modalities=[
            InputModality("video", 3 * PATCH**2, 3, num_freq_bands=8, max_freq=SIZE / PATCH),
            InputModality("audio", SAMPLES_PER_PATCH, 1, num_freq_bands=64, max_freq=patches),
        ],
        outputs=[
            Output("video", FourierQueries((FRAMES, SIZE, SIZE), num_freq_bands=20), 3),
            Output("audio", FourierQueries((patches,), num_freq_bands=64), SAMPLES_PER_PATCH),
            Output("segment", LearnedQueries(64), segments),
        ],
        num_latents=64,
        latent_dim=96,
        num_latent_blocks_per_layer=4,
        num_latent_block_repeats=1,
        latent_heads=4,
        decoder_heads=4,
        widening_factor=2,
        decoder_widening_factor=4,
        decoder_query_residual=True,
    )


def psnr(got: Tensor, true: Tensor) -> float:
    """Of colours in [-1, 1], in dB."""
    return 10 * math.log10(4 / float((got - true).square().mean()))


def snr(got: Tensor, true: Tensor) -> float:
    """In dB."""
    return 10 * math.log10(float(true.square().mean() / (got - true).square().mean()))


def bilinear(video: Tensor, numbers: int) -> Tensor:
    """Frames made smaller, until a segment has no more than ``numbers``, and enlarged again."""
    side = int(math.sqrt(numbers / (FRAMES * 3)))
    frames = video.flatten(0, 1).permute(0, 3, 1, 2)
    small = F.interpolate(frames, (side, side), mode="bilinear", antialias=True)
    large = F.interpolate(small, (SIZE, SIZE), mode="bilinear")
    return large.permute(0, 2, 3, 1).unflatten(0, video.shape[:2])


def main(
    file: Annotated[Path | None, typer.Argument(help="A video file with sound; default: a built clip.")] = None,
    segments: Annotated[int, typer.Option(help="Segments of 16 frames.")] = 4,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 2000,
    pixels: Annotated[int, typer.Option(help="Pixels of each segment that are asked for in a step.")] = 1024,
    learning_rate: Annotated[float, typer.Option(help="The highest.")] = 3e-3,
    seed: Annotated[int, typer.Option(help="Of weights and sub-samples.")] = 0,
    figure: Annotated[Path | None, typer.Option(help="Where to draw the curve and some frames.")] = None,
) -> None:
    """Fits the model to a clip and measures what it gives back."""
    torch.manual_seed(seed)
    clip = built_clip(segments) if file is None else read_clip(file, segments)
    model, inputs = build_model(clip), clip.inputs()
    grid, labels = clip.video.shape[1:4], torch.arange(segments)
    print(model.summary(inputs))
    order = random_indices(grid, math.prod(grid))
    never, asked = order[: len(order) // 10], order[len(order) // 10 :]

    def loss() -> Tensor:
        chosen = asked[random_indices((len(asked),), pixels)]
        got = model(inputs, indices={"video": chosen})
        wrong = F.cross_entropy(got["segment"], labels)
        return (
            F.mse_loss(got["video"], take(clip.video, chosen))
            + 0.3 * F.mse_loss(got["audio"], clip.audio)
            + 0.01 * wrong
        )

    curve = train(
        model, loss, steps=steps, learning_rate=learning_rate, measure=lambda: psnr(model(inputs)["video"], clip.video)
    )
    with torch.no_grad():
        got = model(inputs)
    small = bilinear(clip.video, model.latents.numel())
    mean = clip.video.mean((0, 1, 2, 3)).expand_as(clip.video)
    held = {
        name: psnr(take(v, never), take(clip.video, never)) for name, v in (("ours", got["video"]), ("small", small))
    }
    print(f"video: PSNR {psnr(got['video'], clip.video):.1f} dB, bilinear {psnr(small, clip.video):.1f}, ", end="")
    print(f"mean colour {psnr(mean, clip.video):.1f}")
    print(f"pixels never asked for: PSNR {held['ours']:.1f} dB, bilinear {held['small']:.1f}")
    print(f"sound: SNR {snr(got['audio'], clip.audio):.1f} dB (silence 0)")
    print(f"segment: {int((got['segment'].argmax(-1) == labels).sum())} of {segments} right")
    if figure is not None:
        lines = {"bilinear": psnr(small, clip.video), "mean colour": psnr(mean, clip.video)}
        draw(figure, clip, small, got, curve, lines)
        print(f"wrote {figure}")


def draw(
    path: Path, clip: Clip, small: Tensor, got: dict[str, Tensor], curve: Curve, baselines: dict[str, float]
) -> None:
    """Frames and sound, as they were and as they came back, and the curve."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.3, 1))
    rows = {"clip": clip.video, "bilinear": small, "Perceiver IO": got["video"]}
    count = min(4, len(clip.video))
    for row, (name, video) in zip(left.subplots(3, count, squeeze=False), rows.items(), strict=True):
        for axes, segment in zip(row, video, strict=False):
            axes.imshow(((segment[FRAMES // 2] + 1) / 2).clamp(0, 1).numpy())
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    above, below = right.subplots(2, 1)
    draw_curve(above, curve, label="Perceiver IO", baselines=baselines, name="PSNR of the video, dB")
    sound, ours = clip.audio.flatten(), got["audio"].flatten()
    loud = int(sound.square().unfold(0, 400, 100).mean(1).argmax()) * 100  # the loudest 50 ms
    times = np.arange(loud, loud + 400) / RATE * 1000
    below.plot(times, sound[loud : loud + 400], color=INK, lw=1, label="sound")
    below.plot(times, ours[loud : loud + 400], color=OURS, lw=1, ls="--", label="Perceiver IO")
    below.set(xlabel="time, ms", yticks=[])
    below.legend(frameon=False, fontsize=8)
    below.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    typer.run(main)
