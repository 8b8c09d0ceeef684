"""What a run folder holds: its table, its inputs and targets, its model, its scores, and what made it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perceiver_pytorch._saved_files import fitting, read_header
from perceiver_pytorch.data.targets.scores import by_target
from perceiver_pytorch.tables.description import Facts, score, spec_facts
from perceiver_pytorch.training.language.run import LanguageRun
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.lock import is_locked
from perceiver_pytorch.training.table.run import TableRun


def describe_run(path: Path) -> Facts:
    """The facts of a run folder, of tables or of language.

    Raises:
        DamagedFileError: if a file of it is damaged.
    """
    if LanguageRun.is_at(path):
        return _language_run(LanguageRun.open(path))
    return _table_run(TableRun.open(path))


def _table_run(run: TableRun) -> Facts:
    config = run.config()
    facts: Facts = {"what": "run of perceiver fit", "path": str(run.path), "state": _state(run)}
    facts["table"] = config.data.table
    if run.spec_file.is_file():
        facts |= spec_facts(run.spec())
    if run.table_file.is_file():
        known = run.table()
        with fitting(run.table_file, "the fingerprint of a table"):
            facts["rows"] = {name: part["rows"] for name, part in known["splits"].items()}
    metrics = run.metrics() if run.metrics_file.is_file() else {}
    facts["model"] = _model(run, metrics)
    facts["training"] = _training(run, metrics)
    if metrics and run.spec_file.is_file():
        with fitting(run.metrics_file, "the metrics of this run"):
            facts["scores"] = _scores(run, metrics)
            facts["verdict"] = [each["says"] for each in metrics.get("verdict", {}).get("findings", [])]
            facts["warnings"] = len(metrics.get("warnings", []))
    facts["versions"] = metrics.get("versions", {})
    facts["report"] = str(run.report_file) if run.report_file.is_file() else None
    return facts


def _scores(run: TableRun, metrics: Mapping[str, Any]) -> Facts:
    """Per target its figures with intervals, beside those without inputs; what each modality is worth."""
    spec, found = run.spec(), []
    for target in spec.targets:
        measured = by_target(spec.targets, metrics).get(target.name)
        if measured is None:
            continue
        intervals = measured.get("intervals") or {}
        values = {title: score(measured.get(key), intervals.get(key)) for key, title in target.titles.items()}
        baseline = measured.get(target.baseline.metric)
        beside = f"{target.titles[target.baseline.measures]} of {target.baseline.what}"
        found.append({"target": target.name, "rows": measured["rows"], **values, beside: score(baseline)})
    modalities = [{"modality": name, **worth} for name, worth in metrics.get("modalities", {}).items()]
    worth = {"score": metrics["score_name"], "by_modality": modalities} if modalities else {}
    return {"measured_on": metrics["split"], "targets": found, **worth}


def _language_run(run: LanguageRun) -> Facts:
    config = run.config()
    metrics = run.metrics() if run.metrics_file.is_file() else {}
    plain = {name: value for name, value in metrics.items() if isinstance(value, int | float | str)}
    return {
        "what": f"run of perceiver language ({config.objective})",
        "path": str(run.path),
        "state": _state(run),
        "text": config.data.file,
        "context": config.data.context,
        "model": _model(run, metrics),
        "training": {"steps": config.training.steps, "rounds": len(read_history(run.history_file))},
        "scores": plain,
        "baselines": metrics.get("baselines", {}),
        "versions": metrics.get("versions", {}),
    }


def _state(run: RunFolder) -> str:
    """How far the run has come, with the command that goes on with it."""
    if is_locked(run.lock_file):
        return "in training"
    if (divergence := run.divergence()) is not None:
        return str(divergence)
    if not run.metrics_file.is_file():
        return f"not finished; go on with: {run.resume_command}"
    stopped = run.metrics().get("stopped")
    return f"stopped: {stopped}; go on with: {run.resume_command}" if stopped else "finished"


def _model(run: RunFolder, metrics: Mapping[str, Any]) -> Facts:
    """Sizes of what is saved, without loading it; empty where nothing is."""
    weights = run.model_files[1]
    if not weights.is_file():
        return {}
    header = read_header(weights)
    asked: Any = run.config()
    sizes = ("depth", "num_latents", "latent_dim", "num_latent_blocks_per_layer", "cross_heads", "latent_heads")
    return {
        "class": header.metadata.get("class"),
        "parameters": metrics.get("parameters", header.numbers),
        "bytes": weights.stat().st_size,
        **{name: getattr(asked.model, name) for name in sizes if hasattr(asked.model, name)},
    }


def _training(run: RunFolder, metrics: Mapping[str, Any]) -> Facts:
    trained = metrics.get("trained", {})
    history = read_history(run.history_file)
    return {
        "steps": trained.get("steps"),
        "passes": trained.get("passes"),
        "validations": len(history),
        "seconds": metrics.get("train_seconds"),
        "answer_given_by": [{"part": part, "share": share} for part, share in metrics.get("blend", {}).items()],
    }
