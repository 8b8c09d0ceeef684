"""What may change about a run that goes on."""

from typing import Any, TypeVar

from perceiver_pytorch._settings import Setting, Settings, all_settings, value_at

S = TypeVar("S", bound=Settings)


def check_resumable(configured: S, asked: S, run: object) -> None:
    """That ``asked`` differs from what a run was configured with in nothing that its weights depend on.

    Args:
        run: what the message calls the run.

    Raises:
        ValueError: for other settings; the message names them and those that may change.
    """
    free, wrong = [], []
    for setting in all_settings(type(configured)):
        before, now = value_at(configured, setting.path), value_at(asked, setting.path)
        if _may_change(setting, configured):
            free.append(_spelled(setting))
        elif now != before:
            wrong.append(f"{setting.path}={now!r} (it has {before!r})")
    if wrong:
        raise ValueError(
            f"{run} keeps its settings as it continues; leave out {', '.join(wrong)}, which would give another "
            f"model. What can change: {', '.join(free)}, and the time limit"
        )


def _may_change(setting: Setting, configured: Any) -> bool:
    resumable = setting.knob.resumable
    if isinstance(resumable, str):
        path, _, value = resumable.partition("=")
        return value_at(configured, path) == value
    return resumable


def _spelled(setting: Setting) -> str:
    option = setting.knob.option or ""
    return f"{setting.path} ({option})" if option.startswith("-") else setting.path
