"""``perceiver language``, ``generate`` and ``fill``: language models on the bytes of a text file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from perceiver_pytorch import _checks
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.arguments import asked_settings, deadline_of, in_ranks, stopped_folder, train
from perceiver_pytorch.cli.options import (
    Config,
    Given,
    LanguagePreset,
    NewRun,
    Resume,
    Set,
    TimeLimit,
    option_of,
    with_settings,
)
from perceiver_pytorch.training.language.settings import OBJECTIVES, LanguageConfig, language_preset
from perceiver_pytorch.training.run.durations import Deadline
from perceiver_pytorch.training.run.folder import free_folder
from perceiver_pytorch.training.run.ranks import from_first, is_first
from perceiver_pytorch.training.run.resuming import check_resumable


@with_settings(
    LanguageConfig,
    order="file objective run preset_name config context latents steps epochs batch_size lr seed "
    "set_ devices nodes accelerator strategy precision time_limit resume",
)
def language(
    given: Given,
    objective: Annotated[str, option_of(LanguageConfig, "objective")] = OBJECTIVES[0],
    run: NewRun = None,
    preset_name: LanguagePreset = "tiny",
    config: Config = None,
    set_: Set = None,
    time_limit: TimeLimit = None,
    resume: Resume = None,
) -> int:
    """Train a language model on a text file, and report its bits per byte next to those of compressors.

    Settings come from the preset, then the --config file, then the options.
    """
    deadline = deadline_of(time_limit)  # what is loaded next takes seconds
    from perceiver_pytorch.training.language.run import LanguageRun

    folder = None
    if resume is not None:
        folder = LanguageRun.open_language(stopped_folder(resume, run))
        settings = asked_settings(folder.config(), config, set_, given)
        check_resumable(folder.config(), settings, folder.path)
    else:
        settings = asked_settings(language_preset(preset_name, objective), config, set_, given)
        if not settings.data.file:
            raise ValueError("which file? perceiver language FILE")

    def free() -> Path:
        return free_folder(settings.data.file)

    def work() -> int:
        begun = folder or LanguageRun(from_first(lambda: LanguageRun.create(run or free()).path))
        return _trained(settings, begun, deadline, resume=folder is not None)

    return in_ranks(settings.training, LanguageRun, run if folder is None else folder.path, free, work)


def _trained(settings: LanguageConfig, folder: Any, deadline: Deadline | None, *, resume: bool) -> int:
    from perceiver_pytorch.training.language.task import LanguageTask
    from perceiver_pytorch.training.run.evidence import hardly_trained

    outcome = train(LanguageTask(settings), folder, resume=resume, deadline=deadline)
    if outcome is None:
        return 130
    if not is_first():
        return 0
    metrics = outcome.metrics
    for line in hardly_trained(metrics):
        console.say(line)
    _print_bits(f"test part after {metrics['steps']:,} steps: ", metrics)
    console.say(f"curve: {folder.curve_file}")
    return 0


def generate(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver language --objective causal`.")],
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    max_bytes: Annotated[int, typer.Option(help="Bytes to append.")] = 300,
    temperature: Annotated[
        float, typer.Option(help="Below 1 prefers likely bytes; 0 always takes the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest bytes only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest bytes that have this probability together.")
    ] = None,
    stop: Annotated[str | None, typer.Option(help="Stop after this character of one byte, such as $'\\n'.")] = None,
    samples: Annotated[int, typer.Option(help="Continuations to print.")] = 1,
    seed: Annotated[int | None, typer.Option(help="Makes the continuations repeatable.")] = None,
) -> int:
    """Continue a text with a trained causal model."""
    from perceiver_pytorch.models.text.byte_tokenizer import ByteTokenizer
    from perceiver_pytorch.training.language.run import LanguageRun
    from perceiver_pytorch.training.run.accelerator import on_accelerator

    tokenizer = ByteTokenizer()
    if not prompt:
        raise ValueError("PROMPT is empty; give some text to continue, if only a line break: $'\\n'")
    stop_ids = [] if stop is None else tokenizer.encode(stop)
    if stop is not None and len(stop_ids) != 1:
        raise ValueError(f"--stop must be a single byte, got {stop!r} of {len(stop_ids)}")
    for name, value in (("--max-bytes", max_bytes), ("--samples", samples)):
        _checks.positive_int(name, value)
    model = on_accelerator(LanguageRun.open_language(run).causal_model())
    ids, _ = tokenizer.batch([prompt] * samples)
    out = model.generate(
        ids.to(model.to_logits.bias.device),
        max_bytes,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop_token=stop_ids[0] if stop_ids else None,
        seed=seed,
    )
    for i, row in enumerate(out):
        if samples > 1:
            console.say(f"--- {i + 1}")
        console.say(prompt + tokenizer.decode(row))
    return 0


def fill(
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver language --objective masked`.")],
    text: Annotated[str, typer.Argument(help="Text with [MASK] for each missing byte.")],
) -> int:
    """Fill the gaps of a text with a trained masked model, the most certain bytes first."""
    from perceiver_pytorch.models.text.byte_tokenizer import MASK, ByteTokenizer
    from perceiver_pytorch.training.language.run import LanguageRun
    from perceiver_pytorch.training.run.accelerator import on_accelerator

    tokenizer = ByteTokenizer()
    ids, _ = tokenizer.batch([text], specials=True)
    if not (ids == MASK).any():
        raise ValueError(f"TEXT has no [MASK] to fill in: {text!r}")
    model = on_accelerator(LanguageRun.open_language(run).masked_model())
    if ids.shape[1] > model.max_length:
        raise ValueError(f"TEXT must be at most {model.max_length} bytes long for this model, got {ids.shape[1]}")
    filled = model.fill(ids.to(model.bias.device))
    console.say(tokenizer.decode(filled[0]))
    return 0


def is_language_run(run: Path) -> bool:
    """Whether there is a run of `perceiver language` at ``run``."""
    from perceiver_pytorch.training.language.run import LanguageRun

    return LanguageRun.is_at(run)


def evaluate_language(run: Path, file: str, output: Path | None) -> int:
    """Measures a language model on a whole text file: ``perceiver evaluate``."""
    from perceiver_pytorch._files import write_json
    from perceiver_pytorch.training.language.baselines import compressors
    from perceiver_pytorch.training.language.objectives import bits_per_byte, objective_of
    from perceiver_pytorch.training.language.run import LanguageRun
    from perceiver_pytorch.training.language.text_file import open_text
    from perceiver_pytorch.training.run.accelerator import on_accelerator

    folder = LanguageRun.open_language(run)
    objective = objective_of(folder.config())
    text = open_text(file, at_least=2)
    model = on_accelerator(folder.language_model())
    with console.reporter().step("measuring") as progress:
        bits = bits_per_byte(model, objective, text, progress=progress)
    result = {"objective": objective.name, "file": file, "bytes": len(text), "bits_per_byte": bits}
    result["baselines"] = compressors(text)
    console.say(f"{len(text):,} bytes of {file}")
    _print_bits("", result)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, result)
        console.say(f"written: {output}")
    return 0


def _print_bits(where: str, metrics: dict[str, Any]) -> None:
    masked = metrics["objective"] == "masked"
    console.say(f"{where}{metrics['bits_per_byte']:.4f} bits per {'hidden ' if masked else ''}byte")
    console.say("  " + ", ".join(f"{name} {value:.4f}" for name, value in metrics["baselines"].items()))
    if masked:
        console.say("  (do not compare these: a compressor sees only what precedes a byte, the model sees both sides)")
