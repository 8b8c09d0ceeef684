"""What a folder holds that can be served."""

from pathlib import Path

from perceiver_pytorch.serve.maps import maps_of_run
from perceiver_pytorch.serve.served import ServedPredictor, uploaded


def open_served(path: Path, coverage: float = 0.0) -> ServedPredictor:
    """The model in a folder, loaded.

    Args:
        path: a folder of a run, or of an export.
        coverage: of the sets and intervals beside predictions; 0: of none.

    Raises:
        ValueError: if it holds none that can be served.
    """
    from perceiver_pytorch.runtime.bundle import Bundle, check_model, is_bundle

    check_model(path)
    if is_bundle(path):
        return _read(ServedPredictor(Bundle.open(path), path.resolve().name, coverage=coverage))
    from perceiver_pytorch.tables.run import Run
    from perceiver_pytorch.training.language.run import LanguageRun

    if LanguageRun.is_at(path):
        raise ValueError(
            f"run {path} has a language model, which is not served: use perceiver generate or perceiver fill"
        )
    run = Run.open(path)
    run.load()
    mapper = maps_of_run(run, uploaded(run.spec))
    return _read(ServedPredictor(run, path.resolve().name, str(run.config.data.table), mapper, coverage))


def _read(served: ServedPredictor) -> ServedPredictor:
    """The same, loaded now: what is wrong with its files is told before it listens."""
    served.predictor.load()
    _ = served.modalities
    return served
