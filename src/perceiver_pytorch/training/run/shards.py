"""Checkpoints whose shared tensors stay in parts: every rank writes what it has.

``shards/STEP-NUMBER/RANK-of-RANKS.safetensors`` has a rank's parts, and the checkpoint itself, which the first rank
writes after all of them, has their checksums. So it is there with its shards, or not at all. PyTorch's own format
(``torch.distributed.checkpoint``) describes its files in a pickle, which is never read here.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perceiver_pytorch._files import check_regular, write_whole
from perceiver_pytorch._saved_files import DamagedFileError, fitting, found, read_tensors

SHARDS = "shards"
"""The key of a checkpoint under which stands where its shards are; and the folder of all."""
_MARK = "perceiver shard"
_FOLDER = re.compile(r"\d+-\d+")
_PIECE = 1 << 20


def changed(tree: Any, change: Callable[[Any], Any]) -> Any:
    """A checkpoint with every leaf, and every stand-in for a tensor in parts, as ``change`` makes it."""
    if isinstance(tree, Mapping) and _MARK not in tree:
        return {key: changed(value, change) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(changed(value, change) for value in tree)
    return change(tree)


def parted(tree: Any, is_part: Callable[[Any], bool]) -> tuple[Any, list[Tensor]]:
    """A checkpoint with stand-ins in the place of the tensors that ranks share, and these tensors."""
    tensors: list[Tensor] = []

    def part(leaf: Any) -> Any:
        if not is_part(leaf):
            return leaf
        tensors.append(leaf)
        return {_MARK: len(tensors) - 1, "shape": list(leaf.shape)}

    return changed(tree, part), tensors


def joined_shards(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A checkpoint with its tensors in the place of stand-ins: all of each, from all shards.

    Raises:
        DamagedFileError: for shards that are missing, damaged, or others than were written with it.
    """
    names = shard_files(checkpoint, path)
    parts = [read_shard(checkpoint, path, number) for number in range(len(names))]

    def join(number: int, shape: torch.Size) -> Tensor:
        whole = torch.cat([part[str(number)] for part in parts])
        if whole.shape != shape:
            raise ValueError(
                f"tensor {number} must have the shape {tuple(shape)}, its shards have {tuple(whole.shape)}"
            )
        return whole

    with fitting(path, "a checkpoint and its shards"):
        return filled(checkpoint, join)


def filled(checkpoint: Mapping[str, Any], tensor: Callable[[int, torch.Size], Tensor]) -> dict[str, Any]:
    """A checkpoint with ``tensor(number, shape)`` in the place of every stand-in, and without its list of shards."""

    def fill(leaf: Any) -> Any:
        if not isinstance(leaf, Mapping):
            return leaf
        return tensor(int(leaf[_MARK]), torch.Size(int(size) for size in leaf["shape"]))

    return {key: changed(value, fill) for key, value in checkpoint.items() if key != SHARDS}


def next_folder(path: Path, step: int) -> str:
    """The name of a folder of shards of a checkpoint ``path``, which is not there yet."""
    number = 1
    while (path.parent / SHARDS / f"{step}-{number}").exists():
        number += 1
    return f"{step}-{number}"


def write_shard(path: Path, folder: str, rank: int, ranks: int, parts: Sequence[Tensor]) -> str:
    """Writes a rank's parts; gives their checksum.

    Args:
        path: of the checkpoint.
        folder: of `next_folder`.
        rank, ranks: the number of this rank, and how many there are.
        parts: in the order of the stand-ins.
    """
    from safetensors.torch import save_file

    file = _shard(path, folder, rank, ranks)
    for folder_ in (file.parent.parent, file.parent):  # one of them alone: a run that was removed is not made again
        folder_.mkdir(exist_ok=True)
    tensors = {str(number): part.detach().cpu().contiguous().clone() for number, part in enumerate(parts)}

    def write(partial: Path) -> None:
        partial.touch()
        mode = partial.stat().st_mode  # as of any file here; that of safetensors is for its owner alone
        save_file(tensors, partial)
        partial.chmod(mode)

    write_whole(file, write)
    return _checksum(file)


def shard_files(checkpoint: Mapping[str, Any], path: Path) -> list[Path]:
    """The files of a checkpoint's shards, one for each rank that wrote it.

    Raises:
        DamagedFileError: if what the checkpoint says of them is no list of files in its own folder of shards.
    """
    with fitting(path, "a checkpoint that names its shards"):
        folder, sums = checkpoint[SHARDS]["folder"], checkpoint[SHARDS]["checksums"]
        if not _FOLDER.fullmatch(folder) or not all(isinstance(each, str) for each in sums):
            raise ValueError(f"shards must be in a folder such as 100-1, got {folder!r}")
        return [_shard(path, folder, rank, len(sums)) for rank in range(len(sums))]


def read_shard(checkpoint: Mapping[str, Any], path: Path, rank: int) -> dict[str, Tensor]:
    """A rank's parts, by their numbers. The file is the one that was written with this checkpoint: nothing else has
    that checksum.

    Raises:
        DamagedFileError: if it is missing, damaged, or another one.
    """
    file = shard_files(checkpoint, path)[rank]
    with found(file):
        check_regular(file)
        there = _checksum(file)
    if there != checkpoint[SHARDS]["checksums"][rank]:
        raise DamagedFileError(f"{file} must be the file that was written with {path.name}, has another checksum")
    tensors: dict[str, Tensor] = read_tensors(file)
    return tensors


def remove_unnamed(folder: Path) -> None:
    """Removes the shards that none of the checkpoints in a folder names."""
    shards, named = folder / SHARDS, set()
    if not shards.is_dir():
        return
    for checkpoint in map(read_tensors, folder.glob("*.ckpt")):
        if SHARDS in checkpoint:
            named.add(checkpoint[SHARDS]["folder"])
    for inner in shards.iterdir():
        if inner.name not in named:
            shutil.rmtree(inner, ignore_errors=True)
    if not named:
        shutil.rmtree(shards, ignore_errors=True)


def _shard(path: Path, folder: str, rank: int, ranks: int) -> Path:
    return path.parent / SHARDS / folder / f"{rank}-of-{ranks}.safetensors"


def _checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
