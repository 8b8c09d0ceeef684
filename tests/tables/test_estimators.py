"""The estimators keep scikit-learn's conventions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sklearn = pytest.importorskip("sklearn", minversion="1.6")
pandas = pytest.importorskip("pandas")

import joblib  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.compose import make_column_transformer  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks  # noqa: E402

from perceiver_pytorch import tables  # noqa: E402
from perceiver_pytorch.data import DataError  # noqa: E402
from perceiver_pytorch.tables import PerceiverClassifier, PerceiverRegressor  # noqa: E402

TINY = {
    "depth": 1,
    "num_latents": 4,
    "latent_dim": 16,
    "cross_heads": 1,
    "latent_heads": 1,
    "num_latent_blocks_per_layer": 1,
    "num_freq_bands": 2,
    "weight_decay": 0.0,
}


def quick(kind: type, **parameters: object):
    """Fits in a quarter of a second."""
    return kind(**{"epochs": 3, "batch_size": 16, "lr": 0.02, "settings": TINY, "random_state": 0} | parameters)


def by_day(estimator: object) -> list[object]:
    """Its checks. Those that learn all the same again, from arrays that cannot be written, are for the night."""
    found = []
    for given, check in estimator_checks_generator(estimator):
        options = getattr(check, "keywords", {})
        name = "-".join([check.func.__name__, *(f"{key}={value}" for key, value in options.items())])
        marks = pytest.mark.nightly if options.get("readonly_memmap") else ()
        found.append(pytest.param(given, check, id=name, marks=marks))
    return found


EXPECTED_TO_FAIL = {
    "check_methods_subset_invariance": "float32: a prediction differs by 4e-7 with the rows beside it, 1e-7 may be"
}
"""Of a regressor. All others pass; scikit-learn itself skips check_array_api_input unless SCIPY_ARRAY_API=1 is set."""


@pytest.mark.filterwarnings("ignore:column .* is proportional to")
@pytest.mark.parametrize(("estimator", "check"), by_day(quick(PerceiverClassifier)))
def test_conventions_of_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.filterwarnings("ignore:column .* is proportional to")
@pytest.mark.parametrize("name", ["check_regressors_train", "check_fit2d_predict1d", "check_fit2d_1feature"])
def test_some_conventions_of_regressors(name: str) -> None:
    every = [check for _, check in estimator_checks_generator(quick(PerceiverRegressor))]
    checks = [check for check in every if check.func.__name__ == name]
    assert checks
    for check in checks:
        check(quick(PerceiverRegressor))


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:column .* is proportional to")
@parametrize_with_checks([quick(PerceiverRegressor)], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL)
def test_all_conventions_of_regressors(estimator, check) -> None:
    check(estimator)


def people(rows: int = 40):
    """A data frame with columns of several kinds, and what is to be predicted of it."""
    rng = np.random.default_rng(0)
    tall = rng.normal(size=rows)
    frame = pandas.DataFrame(
        {
            "height": tall,
            "town": rng.choice(["here", "there"], rows),
            "remark": [f"remark number {number} of this row" for number in rng.integers(10_000, size=rows)],
            "born": pandas.Timestamp("2000-01-01") + pandas.to_timedelta(rng.integers(9000, size=rows), unit="D"),
            "same": 1,
        },
        index=[f"p{i}" for i in range(rows)],
    )
    frame.loc["p3", ["height", "town"]] = np.nan
    return frame, np.where(tall > 0, "tall", "small")


def test_columns_of_any_kind() -> None:
    X, y = people()
    model = quick(PerceiverClassifier, columns={"same": "category"}).fit(X, y)
    kinds = {modality.kind: list(modality.columns) for modality in model.trained_.run.spec.modalities}
    assert kinds == {"words": ["remark"], "number": ["height"], "category": ["town", "same"], "date": ["born"]}
    assert list(model.feature_names_in_) == list(X.columns)
    assert list(model.classes_) == ["small", "tall"]
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (40, 2)
    assert np.array_equal(model.predict(X), model.classes_[probabilities.argmax(1)])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[X.columns[::-1]])


def test_values_that_the_samples_did_not_have_are_warned_of() -> None:
    pandas = pytest.importorskip("pandas")
    samples = pandas.DataFrame({"place": ["here", "there"] * 20, "size": range(40)})
    model = quick(PerceiverClassifier).fit(samples, [0, 1, 1] * 13 + [0])
    with pytest.warns(UserWarning, match="2 of 2 rows: cells of 'place' have values that the train rows did not have"):
        model.predict(pandas.DataFrame({"place": ["HERE", "nowhere"], "size": [1, 2]}))


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_frames_of_other_libraries(library: str) -> None:
    module = pytest.importorskip(library)
    X, y = people()
    convert = module.from_pandas if library == "polars" else module.Table.from_pandas
    model = quick(PerceiverClassifier).fit(convert(X.reset_index(drop=True)), y)
    assert model.n_features_in_ == 5
    assert (model.predict(convert(X.reset_index(drop=True))) == quick(PerceiverClassifier).fit(X, y).predict(X)).all()


def test_arrays_of_text_and_of_numbers_with_a_constant_one() -> None:
    X = np.array([["a", 1.0, 5.0], ["b", np.nan, 5.0], ["a", 2.0, 5.0], ["b", 3.0, 5.0]] * 5, dtype=object)
    model = quick(PerceiverClassifier).fit(X, [0, 0, 1, 1] * 3 + [1, 1, 0, 0] * 2)
    assert [modality.columns for modality in model.trained_.run.spec.modalities] == [("x1", "x2"), ("x0",)]
    assert quick(PerceiverRegressor).fit(np.ones((4, 1)), [1, 2, 3, 4]).predict(np.ones((2, 1))).shape == (2,)


def test_pictures_are_found_from_root(mixed: Path) -> None:
    X = pandas.read_csv(mixed)[["picture", "size"]].iloc[:12]
    y = pandas.read_csv(mixed)["label"].iloc[:12]
    model = quick(PerceiverClassifier, root=mixed.parent, epochs=1).fit(X, y)
    assert model.trained_.run.spec.modalities[0].kind == "image"
    assert len(model.predict(X)) == 12
    with pytest.raises(DataError, match=r"column 'picture'.*there is no file"):
        quick(PerceiverClassifier).fit(X, y)


def test_in_a_pipeline_a_cross_validation_and_a_search() -> None:
    X, y = people()
    numbers = make_column_transformer((StandardScaler(), ["height"]), remainder="drop")
    pipeline = make_pipeline(numbers, quick(PerceiverClassifier))
    assert cross_val_score(pipeline, X.fillna({"height": 0}), y, cv=2).shape == (2,)
    search = GridSearchCV(quick(PerceiverRegressor), {"lr": [0.01, 0.02]}, cv=2).fit(X, np.arange(40.0))
    assert search.best_params_["lr"] in (0.01, 0.02)


def test_a_clone_has_the_parameters_and_nothing_learned() -> None:
    X, y = people()
    model = quick(PerceiverClassifier, columns={"same": "ignore"})
    copied = clone(model.fit(X, y))
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "trained_")


@pytest.mark.filterwarnings("ignore:column 'x0' is proportional to")
def test_a_saved_estimator_predicts_in_another_process(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 2))
    model = quick(PerceiverRegressor).fit(X, X[:, 0])
    joblib.dump((model, X), tmp_path / "model.joblib")
    code = (
        f"import joblib; model, X = joblib.load({str(tmp_path / 'model.joblib')!r}); print(model.predict(X).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(done.stdout) == pytest.approx(model.predict(X).tolist(), abs=1e-6)


def test_it_can_be_used_as_a_run_folder(tmp_path: Path) -> None:
    X, y = people()
    model = quick(PerceiverClassifier).fit(X, y)
    model.trained_.write(tmp_path)
    predicted = tables.Run.open(tmp_path).predict(X)
    assert np.array_equal(model.classes_[predicted["prediction"].astype(int)], model.predict(X))


def test_the_random_numbers_of_others_stay_as_they_are() -> None:
    state = torch.random.get_rng_state()
    quick(PerceiverClassifier).fit(*people())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("kind", "parameters", "y", "message"),
    [
        (PerceiverClassifier, {}, ["a"] * 6, "needs samples of 2 classes or more, all have the one class 'a'"),
        (PerceiverClassifier, {}, [1, 2, 3], r"inconsistent numbers of samples: \[6, 3\]"),
        (PerceiverRegressor, {}, [1.0] * 6, "has only one value in the train rows|has one value only"),
        (PerceiverRegressor, {}, [1, 2, 3, 4, 5, np.nan], "y contains NaN"),
        (PerceiverRegressor, {"preset": "huge"}, range(6), "preset must be one of 'auto', 'tiny', 'small', 'base'"),
        (PerceiverRegressor, {"epochs": 0}, range(6), "training.epochs must be at least 1"),
        (PerceiverRegressor, {"settings": {"widht": 3}}, range(6), "there is no setting 'widht'"),
    ],
)
def test_what_cannot_be_learned(kind: type, parameters: dict, y: object, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        quick(kind, **parameters).fit(np.arange(12.0).reshape(6, 2), y)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.base"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "perceiver_pytorch.tables.estimators")
    monkeypatch.delitem(vars(tables), "PerceiverClassifier", raising=False)  # it has been asked for before
    with pytest.raises(ImportError, match=r'pip install "perceiver-multi-modality-pytorch\[sklearn\]"'):
        tables.PerceiverClassifier  # noqa: B018


@pytest.mark.filterwarnings("ignore:column .a. looks like a split")
def test_a_column_called_split_is_a_column_as_others() -> None:
    X = pandas.DataFrame({"n": range(40), "split": ["train"] * 30 + ["test"] * 10, "Split": ["left", "right"] * 20})
    y = ["small" if n < 20 else "large" for n in X["n"]]
    model = quick(PerceiverClassifier).fit(X, y)
    spec = model.trained_.run.spec
    assert {name for modality in spec.modalities for name in modality.columns} == {"n", "split", "Split"}
    alone = quick(PerceiverClassifier).fit(X[["n"]], y)
    renamed = quick(PerceiverClassifier).fit(X.rename(columns={"split": "a", "Split": "b"}), y)
    assert (model.predict_proba(X) == renamed.predict_proba(X.rename(columns={"split": "a", "Split": "b"}))).all()
    assert (model.predict_proba(X) != alone.predict_proba(X[["n"]])).any()
