"""Whether the package that is installed works, as its users have it: `make installed`, and CI on every system.

    python -I tests/installed.py                 # installed without extras
    python -I tests/installed.py --extras all    # installed with them

-I keeps this checkout off the path, so that what is imported is what pip installed.
"""

import argparse
import csv
import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import torch

DISTRIBUTION = "perceiver-multi-modality-pytorch"
COMMAND = Path(sysconfig.get_path("scripts")) / ("perceiver.exe" if sys.platform == "win32" else "perceiver")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="", help="what it was installed with: nothing, or all")
    extras = parser.parse_args().extras.strip("[]")
    if extras not in ("", "all"):
        raise SystemExit(f"--extras is empty or all, not {extras!r}")
    where = the_package_is_installed()
    with tempfile.TemporaryDirectory() as folder:
        a_model_is_trained_and_saved(Path(folder))
        if extras:
            a_table_is_learned_from(Path(folder))
        else:
            the_command_says_what_it_lacks()
    version = importlib.metadata.version(DISTRIBUTION)
    print(f"{DISTRIBUTION} {version} works, extras: {extras or 'none'}; {where}; torch {torch.__version__}")


def the_package_is_installed() -> Path:
    import perceiver_pytorch

    where = Path(perceiver_pytorch.__file__).resolve().parent
    checkout = Path(__file__).resolve().parent.parent
    if where.parent == checkout / "src":
        raise SystemExit(f"{where} is the checkout's: install the wheel into an environment of its own")
    if not (where / "py.typed").exists():
        raise SystemExit(f"{where} has no py.typed")
    return where


def a_model_is_trained_and_saved(folder: Path) -> None:
    from perceiver_pytorch import InputModality, MultiModalityPerceiver

    torch.manual_seed(0)
    image = InputModality("image", input_channels=3, input_axis=2, num_freq_bands=4, max_freq=16.0)
    sound = InputModality("sound", input_channels=1, input_axis=1, num_freq_bands=4, max_freq=64.0)
    model = MultiModalityPerceiver(modalities=[image, sound], depth=1, num_latents=4, latent_dim=16, num_classes=2)
    batch = {"image": torch.randn(2, 16, 16, 3), "sound": torch.randn(2, 64, 1)}
    torch.nn.functional.cross_entropy(model(batch), torch.tensor([0, 1])).backward()
    if not all(torch.isfinite(weights.grad).all() for weights in model.parameters() if weights.grad is not None):
        raise SystemExit("gradients are not finite")
    model.eval().save_pretrained(folder / "model")
    again = MultiModalityPerceiver.from_pretrained(folder / "model").eval()
    torch.testing.assert_close(again(batch), model(batch))


def the_command_says_what_it_lacks() -> None:
    if importlib.util.find_spec("typer") is not None:
        raise SystemExit("typer is here, which only extras bring")
    done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=False)
    if done.returncode != 2 or f'pip install "{DISTRIBUTION}[all]"' not in done.stderr:
        raise SystemExit(f"the command does not say what it lacks: {done.returncode}, {done.stderr}")


def a_table_is_learned_from(folder: Path) -> None:
    """The command on a table with pictures, sounds and texts, and its predictions."""

    def perceiver(*words: str) -> str:
        done = subprocess.run([COMMAND, *words], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"perceiver {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    if "fit" not in perceiver("--help"):
        raise SystemExit("perceiver --help does not name fit")
    perceiver("fit", "digits", "--steps", "10", "--run", "run", "--most-rows", "train=64")
    perceiver("predict", "run", "digits", "--split", "test", "-o", "out.csv")
    with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not (folder / "run" / "report.html").exists():
        raise SystemExit(f"{len(rows)} predictions, and these files: {list((folder / 'run').iterdir())}")
    print(f"perceiver fit and predict: {len(rows)} predictions")


if __name__ == "__main__":
    main()
