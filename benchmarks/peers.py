"""Installs the peers, each into a folder of its own, ``.peers/<name>-<version>/``; nothing enters the environment."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".peers"


@dataclass(frozen=True)
class Peer:
    """A library to compare with.

    Args:
        requirements: what pip installs, without dependencies: torch, einops and the like are those of the environment.
        package: folder that is there when it is installed.
        module: what a contestant imports.
        uses: other peers whose folders it needs, too.
        options: further options of pip.
    """

    requirements: tuple[str, ...]
    package: str
    module: str
    uses: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


PEERS = {
    "release-1.4.0": Peer(
        ("perceiver-multi-modality-pytorch==1.4.0",), "perceiver_pytorch", "perceiver_pytorch.multi_modality_perceiver"
    ),
    "perceiver-pytorch-0.11.0": Peer(("perceiver-pytorch==0.11.0",), "perceiver_pytorch", "perceiver_pytorch"),
    "transformers-5.23.0": Peer(
        ("transformers==5.23.0", "tokenizers==0.23.3", "regex==2026.11.15"),
        "transformers",
        "transformers.models.perceiver.modeling_perceiver",
    ),
    "perceiver-io-0.11.0": Peer(
        ("perceiver-io==0.11.0", "fairscale==0.4.13"),
        "perceiver",
        "perceiver.model.vision.image_classifier",
        uses=("transformers-5.23.0",),
        options=("--ignore-requires-python",),  # it asks for Python below 3.11, and runs on later ones
    ),
    "flash-perceiver-0.2.0": Peer(("flash-perceiver==0.2.0",), "flash_perceiver", "flash_perceiver"),
}


def import_folders(name: str | None) -> list[str]:
    """What goes first on ``sys.path`` of a process that runs on a peer, or on this repository (None)."""
    if name is None:
        return [str(ROOT / "src")]
    return [str(FOLDER / peer) for peer in (name, *PEERS[name].uses)]


def install(name: str) -> str | None:
    """Installs a peer, and what it uses, where it is not there yet; why that failed, or None."""
    for each in (*PEERS[name].uses, name):
        if not (FOLDER / each / PEERS[each].package).is_dir() and (reason := _install(each)):
            return f"not installed: {reason}"
    return None


def without_paths(text: str) -> str:
    """Text without the folders of absolute paths: results are read on other machines."""
    return re.sub(r"(?<![\w.])/(?:[^\s/:'\"]+/)+", "", text)


def _install(name: str) -> str | None:
    """Installs under a temporary name and renames, so that no half-written folder is met."""
    peer, target = PEERS[name], FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=FOLDER))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        command = [*pip, *peer.options, "--target", str(partial), *peer.requirements]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip failed"]
            return without_paths(lines[-1])
        partial.chmod(0o755)
        os.rename(partial, target)
    except OSError:
        if not (target / peer.package).is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None
