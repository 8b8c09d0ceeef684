"""``perceiver serve``."""

from pathlib import Path
from typing import Annotated

import typer

from perceiver_pytorch._settings import overlaid
from perceiver_pytorch.cli import console
from perceiver_pytorch.cli.options import Given, with_settings
from perceiver_pytorch.serve.settings import ServeSettings

_OPEN = (
    "lets every computer that reaches this one use the model: there is no password and no encryption. Let a proxy that "
    "has both stand before it"
)


@with_settings(ServeSettings, "run")
def serve(
    given: Given,
    run: Annotated[Path, typer.Argument(help="Run folder of `perceiver fit`, or a folder of `perceiver export`.")],
) -> int:
    """Serve a trained model: HTTP with OpenAPI, and a page to try it on."""
    from perceiver_pytorch.serve.examples import examples_for
    from perceiver_pytorch.serve.open import open_served
    from perceiver_pytorch.serve.server import serve as run_server

    settings = overlaid(ServeSettings(), given)
    served = open_served(run, settings.coverage)
    if not settings.local:
        console.warn(f"--host {settings.host} {_OPEN}")
    run_server(served, settings, examples=examples_for(served, settings.examples), say=console.say)
    return 0
