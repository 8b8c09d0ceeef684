"""Checkpoints in parts: all of them together or none, and nothing in them is run."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from perceiver_pytorch._saved_files import DamagedFileError
from perceiver_pytorch.training.run.checkpoints import WholeCheckpoints, load_state, read_checkpoint, recover
from perceiver_pytorch.training.run.shards import SHARDS, next_folder, parted, remove_unnamed, write_shard

WHOLE = {
    "global_step": 4,
    "state_dict": {"weight": torch.arange(15.0).reshape(5, 3), "train_loss": torch.tensor(2.0)},
    "optimizer_states": [{"state": {0: {"step": torch.tensor(4.0), "mean": torch.ones(1, 2)}}, "param_groups": []}],
    "progress": {"epoch": 1, "best_epoch": 1, "best_score": 0.5},
}


def save(path: Path, ranks: int = 2, *, checkpoint: dict[str, Any] = WHOLE) -> Path:
    """Writes a checkpoint whose tensors of several axes are in parts; gives its folder of shards. Its third rank has
    nothing of what has two rows."""
    rest, tensors = parted(checkpoint, lambda leaf: isinstance(leaf, torch.Tensor) and leaf.dim() > 0)
    folder = next_folder(path, checkpoint["global_step"])
    sums = []
    for rank in range(ranks):
        parts = [tensor.chunk(ranks) for tensor in tensors]
        own = [each[rank] if rank < len(each) else each[0][:0] for each in parts]
        sums.append(write_shard(path, folder, rank, ranks, own))
    WholeCheckpoints().save_checkpoint({**rest, SHARDS: {"folder": folder, "checksums": sums}}, path)
    return path.parent / SHARDS / folder


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_parts_are_read_as_the_whole(tmp_path: Path, ranks: int) -> None:
    save(tmp_path / "last.ckpt", ranks)
    found = read_checkpoint(tmp_path / "last.ckpt")
    assert found.keys() == WHOLE.keys()
    torch.testing.assert_close(found["state_dict"], WHOLE["state_dict"], rtol=0, atol=0)
    torch.testing.assert_close(found["optimizer_states"], WHOLE["optimizer_states"], rtol=0, atol=0)
    module = torch.nn.Module()
    module.register_buffer("weight", torch.zeros(5, 3))
    module.register_buffer("train_loss", torch.zeros(()))
    assert load_state(tmp_path / "last.ckpt", module) is not None
    assert torch.equal(module.weight, WHOLE["state_dict"]["weight"])  # type: ignore[index]


def test_another_file_than_was_written_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "last.ckpt")
    first, second = sorted(folder.iterdir())
    kept = second.read_bytes()
    second.write_bytes(first.read_bytes())
    with pytest.raises(DamagedFileError, match=r"1-of-2.* must be the file that was written with last\.ckpt"):
        read_checkpoint(tmp_path / "last.ckpt")
    second.unlink()
    with pytest.raises(DamagedFileError, match=r"there is no file .*1-of-2\.safetensors"):
        read_checkpoint(tmp_path / "last.ckpt")
    second.write_bytes(kept)
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 4


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_pickle_is_run_even_with_a_fitting_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perceiver_pytorch.training.run import shards

    folder = save(tmp_path / "last.ckpt")
    (folder / "0-of-2.safetensors").write_bytes(pickle.dumps(Touch(tmp_path / "run")))
    sums = torch.load(tmp_path / "last.ckpt", weights_only=True)[SHARDS]["checksums"]
    given = iter([sums[0], sums[1]])
    monkeypatch.setattr(shards, "_checksum", lambda file: next(given))
    with pytest.raises(DamagedFileError, match="cannot be read as weights"):
        read_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folder", ["../4-1", "/tmp", 7])
def test_shards_stay_in_their_folder(tmp_path: Path, folder: Any) -> None:
    named = {**WHOLE, SHARDS: {"folder": folder, "checksums": ["a"]}}
    WholeCheckpoints().save_checkpoint(named, tmp_path / "last.ckpt")
    with pytest.raises(DamagedFileError, match="damaged or of another run"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_shards_stay_as_long_as_a_checkpoint_names_them(tmp_path: Path) -> None:
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    old = save(last)
    recover(last, best)  # the best is that of the last round
    new = save(last, checkpoint={**WHOLE, "progress": {"epoch": 2, "best_epoch": 1, "best_score": 0.5}})
    given_up = old.with_name("9-1")
    given_up.mkdir()  # of a rank that was killed while it wrote
    remove_unnamed(tmp_path)
    assert {folder.name for folder in old.parent.iterdir()} == {old.name, new.name} == {"4-1", "4-2"}
    assert read_checkpoint(best)["progress"]["epoch"] == 1
    WholeCheckpoints().save_checkpoint(WHOLE, best)
    WholeCheckpoints().save_checkpoint(WHOLE, last)  # a run that goes on with checkpoints in one file
    remove_unnamed(tmp_path)
    assert not old.parent.exists()


@pytest.mark.parametrize("there", [[True, False], [False, True]])
def test_a_folder_that_another_machine_lacks_is_told_in_every_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[bool]
) -> None:
    from perceiver_pytorch.training.run import sharded_strategy

    monkeypatch.setattr(sharded_strategy, "of_all", lambda value: there)
    with pytest.raises(ValueError, match=r"is not there for the ranks [01]: .* a disk that all machines share"):
        sharded_strategy._with_shards({"global_step": 1}, tmp_path / "none" / "last.ckpt")


def test_shards_that_the_first_rank_does_not_see_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from perceiver_pytorch.training.run import sharded_strategy

    monkeypatch.setattr(sharded_strategy, "of_all", lambda value: [value, value])
    monkeypatch.setattr(sharded_strategy, "is_first", lambda: False)
    with pytest.raises(ValueError, match=r"lacks 0-of-2\.safetensors, 1-of-2.*a disk that all machines share"):
        sharded_strategy._with_shards({"global_step": 1}, tmp_path / "last.ckpt")
