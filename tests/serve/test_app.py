"""The routes: predictions are those of `Run.predict`, whatever they come with, and what a server says of itself."""

import base64
import gc
import json
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from perceiver_pytorch.serve.open import open_served
from perceiver_pytorch.serve.served import ServedPredictor
from serve_helpers import Adding, ask, form

FILES = ("picture", "sound")


def cells(folder, table_row):
    """A row of the table as JSON has it, its files as base64."""
    row = {name: cell for name, cell in table_row.items() if cell and name not in ("split", "label", "weight")}
    return {
        name: base64.b64encode((folder / cell).read_bytes()).decode() if name in FILES else cell
        for name, cell in row.items()
    }


@pytest.fixture(scope="module")
def rows(folder):
    import csv

    with (folder / "served.csv").open() as file:
        return list(csv.DictReader(file))[:14]


@pytest.fixture(scope="module")
def expected(run, rows, folder):
    """What `Run.predict` says of them."""
    warnings.simplefilter("ignore")  # about sets that are empty
    return run.predict([{k: v or None for k, v in row.items()} for row in rows], root=folder)


def check(answer, expected):
    label, weight = answer["targets"]["label"], answer["targets"]["weight"]
    assert label["prediction"] == expected["label_prediction"]
    assert label["probabilities"]["light"] == pytest.approx(expected["label_p_light"], abs=1e-5)
    assert sum(label["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert weight["prediction"] == pytest.approx(expected["weight_prediction"], abs=1e-4)


def test_rows_sent_as_json_are_answered_as_the_run_predicts_them(server, rows, expected, folder):
    answer = ask(f"{server}/predict", {"rows": [cells(folder, row) for row in rows]})
    assert answer.status == 200
    for one, true in zip(answer.body["predictions"], expected, strict=True):
        check(one, true)
    assert "picture" not in answer.body["predictions"][7]["present"]


def test_a_form_with_uploads_is_answered_like_json(server, rows, expected, folder):
    for number in (1, 7):
        row = cells(folder, rows[number])
        parts = {name: base64.b64decode(cell) if name in FILES else cell for name, cell in row.items()}
        body, headers = form(**parts)
        answer = ask(f"{server}/predict", body, headers=headers)
        assert answer.status == 200, answer.body
        check(answer.body["predictions"][0], expected[number])


def test_an_answer_does_not_depend_on_the_batch_it_was_in(serving, run, rows, expected, folder):
    address = serving(open_served(run.path), max_batch=8, batch_wait=50.0)
    bodies = [{"rows": [cells(folder, rows[i % len(rows)])]} for i in range(28)]
    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(lambda body: ask(f"{address}/predict", body), bodies))
    for i, answer in enumerate(answers):
        check(answer.body["predictions"][0], expected[i % len(rows)])
    counted = ask(f"{address}/metrics").body.decode()
    batches = float(
        next(line for line in counted.splitlines() if line.startswith("perceiver_batch_rows_count")).split()[1]
    )
    assert batches < 28, "requests were batched"


def test_a_modality_that_is_left_out_is_as_one_that_is_missing(server, rows, folder):
    row = cells(folder, rows[1])
    without = ask(f"{server}/predict", {"rows": [row], "without": ["picture", "note"]}).body["predictions"][0]
    missing = ask(f"{server}/predict", {"rows": [{k: v for k, v in row.items() if k not in ("picture", "note")}]})
    assert without["present"] == missing.body["predictions"][0]["present"]
    shares = [each["targets"]["label"]["probabilities"]["dark"] for each in (without, missing.body["predictions"][0])]
    assert shares[0] == pytest.approx(shares[1], abs=1e-6)


def test_explain_gives_the_answer_without_each_modality_and_by_each_alone(server, rows, folder):
    row = cells(folder, rows[1])
    told = ask(f"{server}/explain", {"rows": [row]}).body
    assert told["modalities"].keys() == set(told["present"])
    assert {"picture", "sound", "note", "curve", "cloud", "numbers", "categories", "dates"} <= told["modalities"].keys()
    alone = ask(f"{server}/predict", {"rows": [{"note": row["note"]}]}).body["predictions"][0]
    less = ask(f"{server}/predict", {"rows": [row], "without": ["note"]}).body["predictions"][0]
    part = told["modalities"]["note"]
    for ours, theirs in ((part["alone"], alone), (part["without"], less)):
        assert ours["weight"]["prediction"] == pytest.approx(theirs["targets"]["weight"]["prediction"], abs=1e-5)
    assert told["maps"].keys() == {"label", "weight"}
    for maps in told["maps"].values():
        assert {"picture", "sound", "note", "curve", "cloud", "numbers"} <= {each["modality"] for each in maps}
        assert all(each["value"].startswith(("data:image/", "data:audio/")) for each in maps)
    several = ask(f"{server}/explain", {"rows": [row, row]})
    assert several.status == 422
    assert several.body["error"] == "one row is explained at a time, got 2"


def test_what_a_cell_loses_is_told(server):
    answer = ask(f"{server}/predict", {"rows": [{"size": 1e6, "place": "nowhere"}]}).body["predictions"][0]
    assert any("'size'" in note and "clipped" in note for note in answer["notes"])
    assert any("'place'" in note and "did not have" in note for note in answer["notes"])


@pytest.mark.parametrize("path", ["served.csv", "1.png", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/1.png"])
@pytest.mark.parametrize("column", ["picture", "sound", "curve", "cloud"])
def test_no_cell_reads_a_file_of_the_server(server, folder, column, path):
    for given in (path, str(folder / path), {"path": path, "bytes": None}, {"values": path}):
        answer = ask(f"{server}/predict", {"rows": [{column: given}]})
        assert answer.status == 422
        assert answer.body["column"] == column
    body, headers = form(**{column: path})
    assert ask(f"{server}/predict", body, headers=headers).status == 422


def test_damaged_files_are_refused_and_named(server, folder):
    whole = (folder / "1.png").read_bytes()
    for data in (b"no picture at all" * 9, whole[:40], whole[:20] + b"\xff" * 20 + whole[40:]):
        answer = ask(f"{server}/predict", {"rows": [{}, {"picture": base64.b64encode(data).decode()}]})
        assert answer.status == 422
        assert answer.body["row"] == 1
        assert answer.body["error"].startswith("row 1, column 'picture': the image cannot be decoded")


def test_the_schema_names_every_column_with_examples_that_are_answered(server):
    schema = ask(f"{server}/openapi.json").body
    assert schema["openapi"].startswith("3.1")
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    columns = content["application/json"]["schema"]["properties"]["rows"]["items"]["properties"]
    assert columns.keys() == {"picture", "sound", "note", "curve", "cloud", "tags", "size", "place", "day"}
    assert columns["place"]["examples"] == ["here"]
    assert "train rows: " in columns["size"]["description"]
    assert content["multipart/form-data"]["schema"]["properties"]["picture"]["format"] == "binary"
    answer = ask(f"{server}/predict", content["application/json"]["example"])
    assert answer.status == 200
    assert {"note", "curve", "cloud", "tags", "numbers", "categories", "dates"} <= set(
        answer.body["predictions"][0]["present"]
    )
    assert {"200", "400", "413", "422", "503", "504"} <= schema["paths"]["/predict"]["post"]["responses"].keys()


def test_answers_fit_their_schema(server):
    schema = ask(f"{server}/openapi.json").body["paths"]["/predict"]["post"]["responses"]["200"]
    properties = schema["content"]["application/json"]["schema"]["properties"]["predictions"]["items"]
    (answer,) = ask(f"{server}/predict", {"rows": [{}]}).body["predictions"]
    assert set(properties["required"]) == answer.keys() - {"unusual"}  # which exports do not tell
    assert answer.keys() <= properties["properties"].keys()
    assert set(properties["properties"]["targets"]["required"]) == answer["targets"].keys()


def test_spec_says_what_the_page_needs(server):
    spec = ask(f"{server}/spec").body
    forms = {field["column"]: field["form"] for field in spec["fields"]}
    assert forms == {
        "picture": "image", "sound": "audio", "note": "text", "curve": "array", "cloud": "array", "tags": "names",
        "size": "number", "place": "choice", "day": "date",
    }  # fmt: skip
    assert [target["name"] for target in spec["targets"]] == ["label", "weight"]
    assert spec["limits"]["max_rows"] == 64
    assert spec["examples"] == 0


def test_health_and_metrics(server):
    assert ask(f"{server}/health").body == {"status": "ok"}
    assert ask(f"{server}/health", method="HEAD").status == 200
    ask(f"{server}/predict", {"rows": [{}]})
    ask(f"{server}/predict", {"rows": 3})
    text = ask(f"{server}/metrics").body.decode()
    assert 'perceiver_requests_total{path="/predict",status="200"}' in text
    assert 'perceiver_requests_total{path="/predict",status="400"}' in text
    assert "process_resident_memory_bytes" in text or "perceiver_rows_total" in text


@pytest.mark.parametrize(
    ("path", "method", "status", "message"),
    [
        ("/nothing", "GET", 404, "there is nothing at this address"),
        ("/predict", "GET", 405, "takes another method"),
        ("/examples/x", "GET", 422, "cannot be read"),
        ("/examples/0", "GET", 404, "there is no example 0"),
        ("/docs", "GET", 404, "there is nothing"),
    ],
)
def test_other_addresses_are_answered_with_a_sentence(server, path, method, status, message):
    answer = ask(f"{server}{path}", method=method)
    assert answer.status == status
    assert message in answer.body["error"]


def test_other_bodies_are_refused(server):
    answer = ask(f"{server}/predict", b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 415
    assert "must be application/json or multipart/form-data" in answer.body["error"]
    packed = ask(f"{server}/predict", b"{}", headers={"Content-Encoding": "gzip"})
    assert packed.status == 415
    broken = ask(f"{server}/predict", b"--x\r\nnonsense", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert broken.status in (400, 422)
    assert ask(f"{server}/predict", b"x", headers={"Content-Type": "multipart/form-data"}).status == 400
    assert json.dumps(broken.body["error"])


def test_a_failure_of_ours_is_told_without_its_details(serving, caplog):
    class Failing(Adding):
        def answer(self, rows):
            raise KeyError("a secret")

    answer = ask(f"{serving(Failing())}/predict", {"rows": [{}]})
    assert answer.status == 500
    assert answer.body == {"error": "the server failed at this request; its log says why"}
    until = time.monotonic() + 10
    while "a secret" not in caplog.text and time.monotonic() < until:  # it is logged once the answer is sent
        time.sleep(0.01)
    assert "a secret" in caplog.text


def test_answers_have_sets_and_intervals_where_the_model_knows_how_sure_it_may_be(serving, run, folder):
    import numpy as np

    class Sure:
        """The run, as if it had learned how sure its answers may be; one row is unusual."""

        spec, calibration = run.spec, object()

        def columns(self, dataset, progress=None, coverage=None):
            columns = run.columns(dataset)
            names = iter(list(columns))
            told = {next(names): columns["row"]}
            for name in names:
                told[name] = columns[name]
                if name == "label_prediction":
                    told |= {"label_set": [f"dark|{coverage}"] * len(dataset), "label_set_size": np.array([2])}
                if name == "weight_prediction":
                    told |= {"weight_low": np.array([-np.inf]), "weight_high": np.array([9.5])}
            return told | {"unusual": ["far away"]}

    address = serving(ServedPredictor(Sure(), "sure", coverage=0.8))
    answer = ask(f"{address}/predict", {"rows": [{"place": "here"}]}).body["predictions"][0]
    assert answer["unusual"] == "far away"
    label, weight = answer["targets"]["label"], answer["targets"]["weight"]
    assert (label["set"], label["set_size"]) == ("dark|0.8", 2)
    assert set(label["probabilities"]) == {"dark", "light"}
    assert (weight["low"], weight["high"]) == (None, 9.5), "JSON has no infinity"
    assert "low" not in label


def test_nothing_is_kept_of_requests_that_were_answered_or_refused(server, rows, folder):
    row = cells(folder, rows[0])

    def send(number):
        assert ask(f"{server}/predict", {"rows": [row]}).status == 200
        assert ask(f"{server}/predict", {"rows": [{"picture": f"/etc/{number}"}]}).status == 422
        assert ask(f"{server}/none").status == 404

    def alive():
        gc.collect()
        return Counter(type(each).__name__ for each in gc.get_objects())

    for number in range(10):
        send(number)
    alive()  # counting fills caches, too
    before, count = alive(), 25
    for number in range(10, 10 + count):
        send(number)
    more = {name: number for name, number in (alive() - before).items() if number >= count}
    assert more == {}  # not an object of its own for each
