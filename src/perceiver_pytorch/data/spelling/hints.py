"""Options that a message names, as one types them."""

import shlex
from typing import Any

import yaml


def setting_hint(column: str, name: str, value: Any) -> str:
    """The option that gives a column a setting."""
    if "." in column:
        return _quoted(f"data.column_options={_yaml({column: {name: value}})}")
    return _quoted(f"data.column_options.{column}.{name}={_yaml(value)}")


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.strip().removesuffix("\n...")


def _quoted(text: str) -> str:
    """For a shell, with as few signs as will do."""
    plain = shlex.quote(text)
    return f"--set {plain}" if plain == text or set(text) & set('"$`\\!') else f'--set "{text}"'
