"""What something is, whatever it is: a run, a saved model, a table."""

import dataclasses
from pathlib import Path

from perceiver_pytorch.data.errors import DataError
from perceiver_pytorch.tables.description import Facts
from perceiver_pytorch.training.run.folder import RunFolder
from perceiver_pytorch.training.table.settings import FitConfig

TEXTS = (".txt", ".md", ".text")
"""Files of text alone, which language models learn from."""


def describe(what: str, config: FitConfig) -> Facts:
    """The facts of whatever lies at a place; ``what`` says which of these it is.

    Args:
        what: a run folder; a folder of ``save_pretrained``, or one in transformers' format; a file of weights; a table
            of any source that `fit` takes.
        config: of a table, how it is read, and its targets.

    Raises:
        DataError, DamagedFileError: for what cannot be read, or is not there.
    """
    path = Path(what)
    if RunFolder(path).config_file.is_file():
        from perceiver_pytorch.tables.describe_run import describe_run

        return describe_run(path)
    from perceiver_pytorch.tables.describe_model import describe_model, is_model

    if is_model(path):
        return describe_model(path)
    if path.is_file() and path.suffix.lower() in TEXTS:
        return {"what": "text", "path": what, "bytes": path.stat().st_size, "next": f"perceiver language {what}"}
    from perceiver_pytorch.tables.describe_table import describe_table

    try:
        return describe_table(dataclasses.replace(config, data=dataclasses.replace(config.data, table=what)))
    except DataError as error:
        if path.is_dir():
            raise DataError(f"{error}; nor is it a run folder (config.yaml) or a saved model (config.json)") from error
        raise
