"""A forecast for people."""

from collections.abc import Mapping
from typing import Any

from perceiver_pytorch.tables.description import lines, size


def plan_lines(facts: Mapping[str, Any]) -> list[str]:
    """What `forecast` found, in lines: numbers with their units, and what to type instead of what is unwise."""
    time, memory, model, operations = (facts[name] for name in ("time", "memory", "model", "operations"))
    told = lines({name: facts[name] for name in ("command", "rows", "inputs", "tokens_a_row")})
    told.append(
        f"model: {model['parameters']:,} parameters ({size(model['bytes'])}), {model['num_latents']} latents of "
        f"{model['latent_dim']}, {model['depth']} layer{'s' * (model['depth'] != 1)}, precision {model['precision']}"
    )
    told.append(
        f"operations: {operations['a_row'] / 1e6:,.1f} million a row, {operations['a_step'] / 1e9:,.2f} billion a step "
        f"of {time['batch_size']:,} rows, forward and backward"
    )
    told += [*_memory(memory), *_time(time)]
    if "time_limit" in facts:
        told.append(facts["time_limit"]["says"])
    if facts["unwise"]:
        told.append("unwise:")
    for each in facts["unwise"]:
        told.append(f"  {each['says']}")
        told += [f"    instead: {each['instead']}"] if each["instead"] else []
    return [*told, *lines({"doubts": facts["doubts"]})]


def _memory(memory: Mapping[str, Any]) -> list[str]:
    step = memory["measured_step"]
    parts = {
        "program and table": memory["program_bytes"] + memory["grown_bytes"],
        "weights and optimiser": memory["state_bytes"],
        "a step": memory["step_bytes"],
        "decoded rows": memory["rows_bytes"],
    }
    shown = ", ".join(f"{size(count)} {name}" for name, count in parts.items())
    told = [f"memory: about {size(memory['in_all_bytes'])}: {shown}; {size(memory['free_bytes'])} are free"]
    if step["bytes"]:
        told.append(
            f"  measured: a step of {step['rows']:,} rows took {size(step['bytes'])}, predicted were "
            f"{size(step['predicted_bytes'])}"
        )
    return told


def _time(time: Mapping[str, Any]) -> list[str]:
    return [
        f"time: {duration(time['step_seconds'])} a step ({time['measured_steps']} measured), "
        f"{duration(time['epoch_seconds'])} an epoch, {time['steps']:,} steps ({time['epochs']:.1f} epochs) in "
        f"{duration(time['training_seconds'])} with validations",
        f"  in all about {duration(time['in_all_seconds'])}: reading {duration(time['reading_seconds'])}, decoding "
        f"{duration(time['decoding_seconds'])}, training, the result {duration(time['result_seconds'])}",
    ]


def duration(seconds: float) -> str:
    """So many seconds for people."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
