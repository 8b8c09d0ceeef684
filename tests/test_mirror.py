"""Tests mirror the source: a module's tests stand in the file of its name, or below with the reason why not."""

from collections.abc import Collection
from pathlib import Path

import pytest

from test_imports import MODULES

TESTS = Path(__file__).parent
HANDED_ON = "a path of release 1.4.0, whose names the contracts hold"
FAMILY = "models/test_base.py: what the models of one family have in common"
GENERATES = "models/text/test_perceiver_ar.py: generation is tested by what the model would say without it"
PUBLISHED = "interop/test_huggingface.py: parts of one model, held against transformers' as a whole"
ELSEWHERE = {
    "runtime.exported": "runtime/test_graph.py: a folder that is opened, damaged and computed",
    "training.table.quiet_task": "experiments/test_training.py: cells of experiments are such tasks",
    "ops.backends.rows": "ops/backends/test_row_loops.py: both ways of the same",
    "_waiting": "ops/backends/test_compiling.py: who waits, and for what",
    "_checks": "models/test_errors.py: its messages, as users meet them",
    "_deprecated": "test_old_paths.py: all paths that are deprecated",
    **dict.fromkeys(("caching", "common", "perceiver_pytorch"), f"test_old_paths.py: {HANDED_ON}"),
    **dict.fromkeys(
        (
            *("byte_tokenizer", "hierarchical_multi_modality_perceiver", "modalities", "multi_modality_perceiver"),
            *("multi_modality_with_text_perceiver", "outputs", "perceiver", "perceiver_io", "style"),
        ),
        f"test_contracts.py: {HANDED_ON}",
    ),
    "data.remote.errors": "data/remote/test_retries.py: what is told of errors that pass, and of others",
    "data.remote.stores": "data/remote/test_files.py: files that are fetched from them",
    "data.media.fitting": "data/kinds/test_image.py: boxes of images",
    "data.media.av_file": "data/media/test_video_file.py: opened for films and sounds",
    "data.sources.builtin_sets": "data/builtin/test_store.py: the sets, loaded by name",
    **dict.fromkeys(("data.builtin.digits", "data.builtin.easy_vqa"), "data/builtin/test_store.py: built and loaded"),
    "interop.array_perceiver_io": "interop/test_upstream.py: held against the library whose models it has",
    **dict.fromkeys([f"interop.published_{name}" for name in ("config", "decoders", "encoder", "readers")], PUBLISHED),
    "interop.published_perceiver": PUBLISHED,
    **dict.fromkeys([f"models.multi_modality_{name}" for name in ("perceiver", "with_text_perceiver")], FAMILY),
    **dict.fromkeys(("models.text.ar_cache", "models.text.generation"), GENERATES),
    "nn.heads.base": "nn/heads/test_pooled.py: what every head promises",
    "nn.linear": "ops/test_linear.py: the operator that it calls",
    "training.language.module": "training/language/test_task.py: seen through whole runs",
    **dict.fromkeys(
        [f"tables.describe{name}" for name in ("", "_model", "_run", "_table")],
        "cli/test_info.py: as it is told",
    ),
    "training.table.forecast": "cli/test_plan.py: held against what comes",
    "training.table.verdict_facts": "training/table/test_verdict_rules.py: what its rules are given and find",
    "__main__": "training/run/test_ranks.py: started by torchrun",
    **dict.fromkeys(
        (
            *("nn.processes", "training.table.part_of_batch", "training.gathering", "training.run.ranks_trainer"),
            "training.run.sharded_strategy",
        ),
        "training/run/test_ranks.py: whole trainings in several processes",
    ),
    "training.run.loaders": "training/run/test_job.py: what its task gives",
    "training.run.loop": "training/run/test_job.py: run by jobs alone",
    **dict.fromkeys(
        ("training.start.published", "training.start.published_inputs"),
        "training/start/test_finetune_published.py: held against the published models",
    ),
    "runtime.describe_bundle": "export/test_tables.py: of an export of its tests",
    "ops.split": "parallel/test_input.py: whole models in several processes",
    "ops.backends": "ops/test_backends.py: one suite for all backends",
    "experiments.changes": "experiments/test_reading.py: settings in a file",
    "experiments.spec": "experiments/test_reading.py: what reading makes",
    "experiments.worker": "experiments/test_runner.py: the processes that it starts",
    **dict.fromkeys(
        [f"serve.{name}" for name in ("described", "maps", "metrics", "open", "served", "sent_rows", "settings")],
        "serve/test_app.py: seen through the routes",
    ),
    **dict.fromkeys(("serve.refusals", "serve.uploads"), "serve/test_service.py: what a server refuses"),
    "data.parts": "data/test_splits.py: what is cut into them",
    **dict.fromkeys(
        [f"runtime.{name}" for name in ("engines", "kept", "signature")],
        "export/test_tables.py: what an export is run by",
    ),
    **dict.fromkeys(
        [f"export.{name}" for name in ("card", "measuring", "precision")],
        "export/test_tables.py: seen in what an export leaves",
    ),
    **dict.fromkeys(
        ("export.exporting", "export.folder"), "export/test_models.py: seen in what is exported, and where"
    ),
    "export.programs": "export/test_models.py: every family as a program",
    "runtime.module": "runtime/test_bundle.py: what measures and explains a bundle",
    "tables.evaluating": "runtime/test_bundle.py: a bundle's metrics beside those of its run",
    "cli.export": "export/test_tables.py: the Python function of the same options",
    **dict.fromkeys(("models.card", "tables.card"), "export/test_tables.py: the card of an export"),
    "data.fields": "serve/test_app.py: the fields of a run, as its server tells them",
    "data.media.limits": "serve/test_service.py: files beyond the limits of a server",
    "cli.convert": "interop/test_any_checkpoint.py: beside what is loaded there",
}
"""{module, or package for all its modules: "file of its tests: why there"}."""


def own_file(module: str) -> Path:
    """Where the tests of a module belong."""
    *folders, name = module.split(".")
    return TESTS.joinpath(*folders, f"test_{name}.py")


def listed(module: str, names: Collection[str]) -> bool:
    """Whether a module or a package that it is in is among the names."""
    parts = module.split(".")
    return any(".".join(parts[:end]) in names for end in range(1, len(parts) + 1))


NAMES = [module.partition(".")[2] for module, path in MODULES.items() if path.name != "__init__.py"]
WITHOUT = [module for module in NAMES if not own_file(module).is_file()]


@pytest.mark.parametrize("module", WITHOUT)
def test_a_module_without_a_test_file_is_listed(module: str) -> None:
    assert listed(module, ELSEWHERE.keys()), f"{own_file(module).relative_to(TESTS)} is missing"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_the_list_is_up_to_date(module: str) -> None:
    assert any(listed(name, {module}) for name in WITHOUT), f"{module} has its own file of tests, or is gone"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_a_reason_names_a_file(module: str) -> None:
    file, _, reason = ELSEWHERE[module].partition(": ")
    assert (TESTS / file).is_file()
    assert reason
