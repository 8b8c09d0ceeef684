"""Fine-tuning: what is taken over, frozen, adapted and saved."""

import dataclasses
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from data_helpers import table_of
from perceiver_pytorch import (
    BlendedPerceiver,
    HierarchicalConfigurator,
    HierarchicalMultiModalityPerceiver,
    InputModality,
    InputModalityWithEmbedding,
    LearnedQueries,
    MultiModalityPerceiver,
    MultiModalityPerceiverNoPooling,
    MultiTaskPerceiver,
    Output,
    Perceiver,
    PerceiverIO,
)
from perceiver_pytorch.data import CategoriesSpec, InputSpec, SpecOptions, recognise_columns
from perceiver_pytorch.models.modalities import modality_from_config
from perceiver_pytorch.training.run.callbacks import Stopper
from perceiver_pytorch.training.run.history import read_history
from perceiver_pytorch.training.run.reporter import Reporter
from perceiver_pytorch.training.start import finetune
from perceiver_pytorch.training.start.finetune import Source, adopt, load_source, start_from
from perceiver_pytorch.training.start.freezing import add_lora, freeze, merge_lora
from perceiver_pytorch.training.start.transfer import match_modalities, move_weights
from perceiver_pytorch.training.table.build import build_model
from perceiver_pytorch.training.table.run import TableRun
from perceiver_pytorch.training.table.settings import StartConfig
from training_helpers import fit, tiny_config, write_mixed_table, write_targets_table

SIZES = {
    "depth": 2,
    "num_latents": 4,
    "latent_dim": 16,
    "latent_heads": 2,
    "latent_dim_head": 8,
    "num_latent_blocks_per_layer": 1,
    "num_classes": 3,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_mixed_table(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def pretrained(table, tmp_path_factory):
    run = TableRun.create(tmp_path_factory.mktemp("runs") / "pretrained")
    fit(tiny_config(table, epochs=2, head_weight=0.0), run, reporter=Reporter(say=lambda text: None))
    return run


def tuned(table, path, pretrained, *, said=None, training=None, **start):
    """A run that starts from another one, without heads of its modalities: these are fresh, whatever it starts from."""
    config = tiny_config(table, **{"epochs": 1, "head_weight": 0.0, **(training or {})})
    config = dataclasses.replace(config, start=StartConfig(checkpoint=str(pretrained.path), **start))
    run = TableRun.create(path)
    lines = [] if said is None else said
    return run, fit(config, run, reporter=Reporter(say=lines.append, warn=lines.append))


def image(channels=3, name="image"):
    return InputModality(name, channels, 2, num_freq_bands=2, max_freq=4.0)


def write_product_table(path, rows, seed):
    """The sign of a product is the class: a small model needs a while to find that out."""
    rng = np.random.default_rng(seed)
    lines = ["x,z,label,split"]
    for i in range(rows):
        x, z = rng.normal(size=2)
        lines.append(f"{x:.3f},{z:.3f},{'ab'[int(x * z > 0)]},{'val' if i % 6 == 3 else 'train'}")
    path.write_text("\n".join(lines))
    return path


def trunk_of(model):
    """A run's model without the heads of its modalities."""
    return model.trunk if isinstance(model, BlendedPerceiver) else model


@pytest.mark.nightly
def test_a_run_that_starts_from_another_is_better_after_an_epoch(tmp_path):
    whole, few = (write_product_table(tmp_path / f"{rows}.csv", rows, rows) for rows in (480, 60))
    silent = Reporter(say=lambda text: None)
    first, scratch = (TableRun.create(tmp_path / name) for name in ("first", "scratch"))
    fit(tiny_config(whole, epochs=20), first, reporter=silent)
    fit(tiny_config(few, epochs=1), scratch, reporter=silent)
    run, _ = tuned(few, tmp_path / "tuned", first)
    tuned_loss, scratch_loss = (read_history(each.history_file)[0]["val_loss"] for each in (run, scratch))
    assert tuned_loss < 0.9 * scratch_loss


def test_runs_with_heads_start_from_runs_with_heads(table, tmp_path):
    first = TableRun.create(tmp_path / "first")
    fit(tiny_config(table, epochs=1), first, reporter=Reporter(say=lambda text: None))
    assert isinstance(first.model(), BlendedPerceiver)
    run, _ = tuned(table, tmp_path / "tuned", first, training={"head_weight": 0.5}, freeze=["encoder"])
    model = run.model()
    assert isinstance(model, BlendedPerceiver)
    assert torch.equal(model.trunk.latents, first.model().trunk.latents)


def test_what_was_taken_over_is_told(table, pretrained, tmp_path):
    said = []
    run, _ = tuned(table, tmp_path / "tuned", pretrained, said=said)
    line = next(line for line in said if line.startswith(f"from {pretrained.path}"))
    total = sum(p.numel() for p in run.model().parameters())
    head = sum(p.numel() for p in run.model().to_logits.parameters())
    assert f"{total - head:,} of {total:,} weights are taken over, {head:,} are fresh" in line


def test_the_same_inputs_give_the_same_latents(pretrained):
    source = load_source(str(pretrained.path))
    model, _ = start_from(source, pretrained.spec(), pretrained.config().model, StartConfig())
    for name, weight in source.model.state_dict().items():
        if not name.startswith("to_logits"):
            assert torch.equal(model.state_dict()[name], weight), name


STATISTICS = (".mean", ".scale", ".known")  # of stems, which nothing trains


@pytest.mark.parametrize(
    "part", ["encoder", "embeddings", *(pytest.param(p, marks=pytest.mark.nightly) for p in ("latents", "layers.0.*"))]
)
def test_frozen_weights_do_not_move(table, pretrained, tmp_path, part):
    before = load_file(pretrained.path / "model.safetensors")
    run, _ = tuned(table, tmp_path / "run", pretrained, freeze=[part])
    after = load_file(run.path / "model.safetensors")
    chosen = {
        "encoder": lambda name: not name.startswith("to_logits."),
        "embeddings": lambda name: name.startswith("embeddings.") or ".table." in name,
        "latents": lambda name: name == "latents",
        "layers.0.*": lambda name: name.startswith("layers.0."),
    }[part]
    for name, weight in after.items():
        still = chosen(name) or (".norms." in name and name.endswith(STATISTICS))
        assert torch.equal(weight, before[name]) == still, name


def test_adapters_alone_are_trained_and_end_up_in_plain_weights(table, pretrained, tmp_path):
    said = []
    before = load_file(pretrained.path / "model.safetensors")
    run, outcome = tuned(table, tmp_path / "run", pretrained, said=said, lora=2)
    after = load_file(run.path / "model.safetensors")
    assert before.keys() == after.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.rpartition(".")[2] for name in moved if not name.startswith("to_logits")} == {"weight"}
    assert {"layers.0.2.latent_blocks.0.0.fn.to_kv.weight", "layers.0.0.fn.to_kv.weight"} <= moved
    assert "latents" not in moved
    weights = [weight for name, weight in after.items() if not (".norms." in name and name.endswith(STATISTICS))]
    assert outcome.metrics["parameters"] == sum(weight.numel() for weight in weights)
    assert any("LoRA adapters of rank 2" in line for line in said)


def test_a_merged_model_gives_what_its_adapters_gave(pretrained):
    model = pretrained.model()
    plain = model.state_dict().keys()
    add_lora(model, 3, fresh=[])
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    modality = model.modalities["in_numbers"]
    inputs = {"in_numbers": torch.randn(5, 1, modality.input_channels)}
    adapted = model(inputs)
    adapted.sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if "lora_" in name)
    merge_lora(model)
    assert model.state_dict().keys() == plain
    torch.testing.assert_close(model(inputs), adapted)


def test_lora_without_its_library_says_what_to_install(pretrained, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"peft is needed for --lora .*\[lora\]"):
        add_lora(pretrained.model(), 2, fresh=[])


@pytest.mark.parametrize("start", [{"lora": 2}, pytest.param({"freeze": ["embeddings"]}, marks=pytest.mark.nightly)])
def test_a_stopped_run_goes_on_to_the_same_weights(table, pretrained, tmp_path, monkeypatch, start):
    whole, _ = tuned(table, tmp_path / "whole", pretrained, training={"epochs": 2}, **start)
    original = Stopper.on_train_batch_start

    def stop_early(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 5:
            self.request("enough")
        original(self, trainer, module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Stopper, "on_train_batch_start", stop_early)
        run, outcome = tuned(table, tmp_path / "run", pretrained, training={"epochs": 2}, **start)
    assert outcome.stopped == "enough"
    fit(run.config(), TableRun.open(run.path), resume=True, reporter=Reporter(say=lambda text: None))
    first, second = (load_file(r.path / "model.safetensors") for r in (run, whole))
    assert all(torch.equal(first[key], second[key]) for key in second)


def test_other_targets_and_columns_start_from_what_is_shared(pretrained, tmp_path):
    """The run read five modalities and gave a class; the new table has one of them, wider, and three targets."""
    path = write_targets_table(tmp_path / "targets")
    said, run = [], TableRun.create(tmp_path / "run")
    config = tiny_config(path, ["weight", "side", "tags"], epochs=1)
    config = dataclasses.replace(config, start=StartConfig(checkpoint=str(pretrained.path)))
    fit(config, run, reporter=Reporter(say=said.append, warn=said.append))
    assert "  numbers: taken over" in said
    assert list(trunk_of(run.model()).tasks) == ["weight", "side", "tags"]
    assert torch.equal(trunk_of(run.model()).encoder.latents.isfinite(), torch.ones(4, 16, dtype=torch.bool))


def test_a_saved_model_is_a_source_as_well(table, pretrained, tmp_path):
    folder = tmp_path / "saved"
    pretrained.model().save_pretrained(folder)
    run, _ = tuned(table, tmp_path / "run", TableRun(folder), freeze=["encoder"])
    assert torch.equal(run.model().latents, pretrained.model().latents)


def test_values_of_categories_are_matched_by_name(pretrained):
    spec = pretrained.spec()
    (categories,) = [modality for modality in spec.modalities if isinstance(modality, CategoriesSpec)]
    assert categories.values == (("here", "there"),)
    other = dataclasses.replace(categories, values=(("elsewhere", "there"),))
    changed = dataclasses.replace(spec, modalities=(*spec.modalities[:-1], other))
    source = load_source(str(pretrained.path))
    model, _ = start_from(source, changed, pretrained.config().model, StartConfig())
    before, after = (m.embeddings["in_categories"].weight for m in (source.model, model))
    assert torch.equal(after[1:], before[1:])
    assert not torch.equal(after[0], before[0])


def test_freezing_what_is_not_there_or_all_is_an_error(pretrained):
    model = build_model(pretrained.spec(), pretrained.config().model)
    with pytest.raises(ValueError, match=r"--freeze layer0 names no weight; it takes encoder, embeddings, latents"):
        freeze(model, ["layer0"])
    with pytest.raises(ValueError, match="leaves nothing to train"):
        freeze(model, ["*"])
    with pytest.raises(ValueError, match="need a checkpoint"):
        StartConfig(freeze=["encoder"])


def test_a_checkpoint_that_cannot_be_used_is_named(pretrained, tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        load_source(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        load_source(str(tmp_path))
    shutil.copy(pretrained.path / "config.json", tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="no JSON file"):
        load_source(str(tmp_path))
    torch.save({}, tmp_path / "weights.pt")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"perceiver convert .*weights\.pt FOLDER .* --from FOLDER"):
        load_source(str(tmp_path / "weights.pt"))
    for file in (pretrained.path / "model.safetensors", pretrained.best):
        with pytest.raises(ValueError, match=f"must be a folder; give --from {pretrained.path}$"):
            load_source(str(file))


def other_models():
    modalities = [image(), InputModality("sound", 2, 1, num_freq_bands=3, max_freq=8.0)]
    options = {key: value for key, value in SIZES.items() if key != "num_classes"}
    single = {key: value for key, value in options.items() if key != "num_latent_blocks_per_layer"}
    io = {"depth": 2, "num_latents": 4, "latent_dim": 16, "latent_heads": 2, "num_latent_blocks_per_layer": 1}
    return {
        "multi": lambda: MultiModalityPerceiver(modalities=modalities, num_classes=5, **options),
        "bare": lambda: MultiModalityPerceiverNoPooling(modalities=modalities, weight_tie_layers=True, **options),
        "single": lambda: Perceiver(num_freq_bands=2, max_freq=4.0, input_channels=1, weight_tie_layers=True, **single),
        "io": lambda: PerceiverIO(
            modalities=modalities, outputs=[Output("class", LearnedQueries(8), 5)], weight_tie_layers=True, **io
        ),
    }


SOURCES = [(kind, target) for kind in other_models() for target in ("label", ["label", "place"])]
QUICK = [("io", "label"), ("bare", ["label", "place"])]


@pytest.mark.parametrize(
    ("kind", "target"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.nightly) for each in SOURCES],
    ids=str,
)
def test_saved_models_of_every_kind_are_sources(kind, target, tmp_path):
    """The column `image` is the modality `image`, or the only one that reads pictures."""
    table = write_mixed_table(tmp_path / "mixed", rows=36)
    table.write_text(table.read_text().replace("picture", "image", 1))
    torch.manual_seed(3)
    old = other_models()[kind]()
    old.save_pretrained(tmp_path / "saved")
    start = StartConfig(
        checkpoint=str(tmp_path / "saved"), **({"lora": 2} if isinstance(target, list) else {"freeze": ["encoder"]})
    )
    config = dataclasses.replace(tiny_config(table, target, epochs=1), start=start)
    samples = dataclasses.replace(config.data, audio_features="raw", image_stem="none")  # as the saved models read
    config = dataclasses.replace(config, data=samples)
    run, said = TableRun.create(tmp_path / "run"), []
    fit(config, run, reporter=Reporter(say=said.append, warn=said.append))
    assert any(line.startswith("  image: taken over from") for line in said)
    trunk = trunk_of(run.model())
    encoder = trunk.encoder if isinstance(trunk, MultiTaskPerceiver) else trunk
    assert torch.equal(encoder.latents, old.latents)
    again, _ = start_from(load_source(str(run.path)), run.spec(), run.config().model, StartConfig())
    assert type(again) is type(trunk)


@pytest.mark.parametrize("kind", list(other_models()))
def test_a_model_that_starts_from_another_kind_gives_its_latents(kind, pretrained):
    """Where the modalities are the same, so are the latents; a modality more than `Perceiver` has is a code more."""
    torch.manual_seed(3)
    old = other_models()[kind]().eval()
    modalities = [modality_from_config(modality.to_config()) for modality in old.modalities.values()]
    model = finetune._assembled(old, pretrained.spec(), modalities).eval()
    new = model.encoder if isinstance(model, MultiTaskPerceiver) else model
    transfer = move_weights(new, old, match_modalities(new.modalities, old.modalities))
    data = {name: torch.randn(2, *(6,) * m.input_axis, m.input_channels) for name, m in old.modalities.items()}
    if kind == "single":
        assert {name.rpartition(".")[0] for name in transfer.fresh} == {
            f"layers.{i}.0.{part}" for i in range(2) for part in ("norm_context", "fn.to_kv")
        } | {"to_logits.0", "to_logits.1"}
        return
    expected = old(data, return_embeddings=True)
    torch.testing.assert_close(new(data, return_embeddings=True), expected)


def test_a_model_whose_training_had_failed_is_refused(pretrained):
    source = load_source(str(pretrained.path))
    with torch.no_grad():
        source.model.latents[0, 0] = torch.nan
    with pytest.raises(ValueError, match="latents is not finite"):
        start_from(source, pretrained.spec(), pretrained.config().model, StartConfig())


def test_a_model_that_no_table_can_be_read_by_is_refused(tmp_path):
    HierarchicalMultiModalityPerceiver(
        modalities=[image()], depth=1, configurator=HierarchicalConfigurator(1, 4, 8), num_classes=2
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"HierarchicalMultiModalityPerceiver cannot be fine-tuned .* PerceiverIO"):
        load_source(str(tmp_path))


def spec_of(folder, target="y", **columns):
    """Of twelve rows with numbers, words of two kinds, and two targets."""
    columns = columns or {"x": np.linspace(0, 1, 12).tolist(), "kind": ["u", "v", "w"] * 4}
    table = table_of(folder, **columns, y=["a", "b"] * 6, z=["c", "d", "e"] * 4)
    kinds = recognise_columns(table, target=target, split=None, overrides={"z": "ignore"} if target == "y" else {})
    return InputSpec.fit(table, kinds, target=target, rows=np.arange(12))


CONFIG = tiny_config("unused").model


def test_lines_say_what_became_of_each_part(tmp_path):
    spec = spec_of(tmp_path)
    old = build_model(spec, CONFIG)
    source = Source("there", old, spec)
    total = sum(p.numel() for p in old.parameters())
    head = sum(p.numel() for p in old.to_logits.parameters())
    first = f"from there: {total - head:,} of {total:,} weights are taken over, {head:,} are fresh"
    parts = ["  numbers: taken over", "  categories: taken over", "  head: fresh"]
    assert start_from(source, spec, CONFIG, StartConfig())[1] == [first, *parts]
    model, lines = start_from(source, spec, CONFIG, StartConfig(checkpoint="there", freeze=["latents"]))
    frozen = old.latents.numel()
    assert lines == [first, *parts, f"  frozen: {frozen:,} weights; {total - frozen:,} are trained"]
    assert not model.latents.requires_grad
    adapted, lines = start_from(source, spec, CONFIG, StartConfig(checkpoint="there", lora=2))
    adapters = sum(p.numel() for name, p in adapted.named_parameters() if "lora_" in name)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert lines[-1].endswith(f"; {trained:,} are trained, {adapters:,} of them LoRA adapters of rank 2")
    renamed = spec_of(tmp_path, note=["u", "v", "w"] * 4, x=np.linspace(0, 1, 12).tolist())
    assert start_from(source, renamed, CONFIG, StartConfig())[1][1:] == parts
    without = Source("there", build_model(spec_of(tmp_path, x=np.linspace(0, 1, 12).tolist()), CONFIG))
    assert start_from(without, spec, CONFIG, StartConfig())[1][1:] == [parts[0], "  categories: fresh", parts[2]]
    other = Source("there", MultiModalityPerceiver(modalities=[InputModality("shape", 3, 1, 0, 2.0)], **SIZES))
    lines = start_from(
        other, spec_of(tmp_path, **{n: np.linspace(0, 1, 12).tolist() for n in "abc"}), CONFIG, StartConfig()
    )[1]
    assert all("taken over from shape" in line or ": fresh" in line for line in lines[1:])


def test_with_several_targets_what_is_fresh_is_named_as_in_the_model(tmp_path):
    one, two = spec_of(tmp_path), spec_of(tmp_path, ["y", "z"])
    model, matches, transfer = finetune._from_own(Source("there", build_model(one, CONFIG), one), two, CONFIG)
    assert isinstance(model, MultiTaskPerceiver)
    assert transfer.fresh <= {name for name, _ in model.named_parameters()}
    assert matches == {"in_numbers": "in_numbers", "in_categories": "in_categories"}
    again = finetune._from_own(Source("there", model.encoder, two), one, CONFIG)[2].fresh
    assert all(name.startswith("to_logits.") for name in again)


def test_options_of_columns_are_those_of_the_run(tmp_path):
    def modality(name, kind, **options):
        return SimpleNamespace(name=name, columns=(name.split(".")[0],), kind=kind, token_options=lambda: options)

    spec = SimpleNamespace(
        modalities=[
            modality("photo", "image", image_patch=5),
            modality("sound", "audio", audio_patch=7),
            modality("plain", "image"),
            modality("gone", "image", image_patch=3),
            modality("film", "video", video_patch=6),
            modality("film.audio", "audio", audio_patch=8),
        ],
        kinds={"photo": "image", "sound": "audio", "plain": "image", "gone": "image", "film": "video+audio"},
    )
    kinds = {"photo": "image", "sound": "text", "plain": "image", "film": "video+audio"}
    film = {"video_patch": 6, "audio_patch": 8}
    assert adopt(SpecOptions(), spec, kinds).column_options == {"photo": {"image_patch": 5}, "film": film}
    kinds["film"] = "video"
    assert adopt(SpecOptions(), spec, kinds).column_options == {"photo": {"image_patch": 5}}
    given = SpecOptions(column_options={"photo": {"image_patch": 2}, "x": {"clock": False}})
    assert adopt(given, spec, kinds).column_options == given.column_options
    assert adopt(SpecOptions(image_patch=9), spec, kinds).column_options == {}


def test_a_modality_is_read_as_the_one_was_whose_weights_it_gets():
    numbers = InputModality("a", 2, 1, num_freq_bands=1, max_freq=2.0)
    finetune._read_as(
        numbers, InputModality("b", 2, 1, num_freq_bands=5, max_freq=7.0, freq_base=3, scale=0.5, offset=1.0)
    )
    assert (numbers.num_freq_bands, numbers.max_freq, numbers.freq_base) == (5, 7.0, 3)
    assert (numbers.scale, numbers.offset) == (0.5, 1.0)
    finetune._read_as(numbers, InputModality("b", 2, 1, num_freq_bands=1, max_freq=2.0))
    assert (numbers.scale, numbers.offset) == (0.5, 1.0)  # its range is not known
    for changed in ({"scale": 2.0}, {"offset": 3.0}):
        finetune._read_as(numbers, InputModality("b", 2, 1, num_freq_bands=1, max_freq=2.0, **changed))
        assert (numbers.scale, numbers.offset) == (changed.get("scale", 1.0), changed.get("offset", 0.0))

    def ids(rows, width, split):
        return InputModalityWithEmbedding("t", 1, 1, 1, 2.0, embedding=nn.Embedding(rows, width), split_embedding=split)

    words = ids(9, 4, False)
    finetune._read_as(words, ids(7, 6, True))
    assert (words.embedding.num_embeddings, words.embedding.embedding_dim, words.split_embedding) == (9, 6, True)


def test_rows_of_embeddings_are_found_by_their_meaning(tmp_path):
    old, new = spec_of(tmp_path), spec_of(tmp_path, kind=["w", "t", "u"] * 4)
    rows = finetune._embedding_rows(new, old, {"in_categories": "in_categories"})
    before, after = (next(m for m in spec.modalities if m.kind == "category").id_meanings() for spec in (old, new))
    assert rows["in_categories"].tolist() == [before.index(one) if one in before else -1 for one in after]
    assert -1 in rows["in_categories"].tolist()
    assert finetune._embedding_rows(new, old, {}) == {}
    assert finetune._embedding_rows(new, None, {"in_categories": "in_categories"}) == {}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("multi", {"use_gelu": False, "depth": 2, "num_latents": 4}),
        ("bare", {"use_gelu": True, "weight_tie_layers": True}),
        ("single", {"num_latent_blocks_per_layer": 1, "weight_tie_layers": False, "use_gelu": False}),
    ],
)
def test_a_model_has_the_sizes_of_the_one_that_it_starts_from(tmp_path, kind, expected):
    old = other_models()[kind]()
    model = finetune._assembled(old, spec_of(tmp_path), [image()])
    assert {name: model.recorded_config[name] for name in expected} == expected
    assert model.recorded_config["num_classes"] == 2
    assert model.style.double_residual == (old.style.double_residual and kind != "single")
    assert list(model.modalities) == ["image"]


def test_a_name_of_a_hub_repository_is_one_that_is_no_folder(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(finetune.huggingface, "load", lambda name: asked.append(name) or nn.Linear(1, 1))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert load_source("deepmind/perceiver").place == "deepmind/perceiver"
    for name in ("perceiver", "a/b/c", "runs/gone", "/deepmind"):
        with pytest.raises(ValueError, match=f"--from {name}: there is no such folder"):
            load_source(name)
    assert asked == ["deepmind/perceiver"]
