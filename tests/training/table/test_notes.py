import dataclasses
from types import SimpleNamespace

from perceiver_pytorch.data import AudioSpec, ShardedTable, VideoSpec
from perceiver_pytorch.data.loading import Waiting
from perceiver_pytorch.data.losses import Change, Losses
from perceiver_pytorch.data.spelling.spellings import Spelling, Spellings
from perceiver_pytorch.training.run.planning import Plan
from perceiver_pytorch.training.table.notes import (
    change_notes,
    long_cell_notes,
    loss_lines,
    reading_notes,
    result_notes,
    waiting_note,
    written_notes,
)


class Rows(SimpleNamespace):
    def __len__(self):
        return 1200


def test_rows_that_are_decoded_late_are_told_of():
    datasets = {"train": Rows(prepared=False), "val": Rows(prepared=False), "test": Rows(prepared=True)}
    (note,) = reading_notes(None, datasets)
    assert note == "The train, val rows are decoded when they are needed, so bad rows are found only then."
    assert reading_notes(None, {"test": Rows(prepared=True)}) == []


def test_changed_cells_are_counted_by_split_and_modality():
    note = SimpleNamespace(name="note", changes={"cut": "lost their end", "fit": "were resized"}, harmless={"fit"})
    datasets = {name: Rows(losses=Losses([note], 1200)) for name in ("train", "val")}
    for row in range(1200):
        datasets["train"].losses.count(row, [("note", Change("fit"))] + [("note", Change("cut"))] * (row >= 100))
    assert change_notes(datasets) == ["1,200 of 1,200 train rows: cells of 'note' were resized."]
    (line,) = loss_lines(datasets)
    assert line == "1,100 of 1,200 train rows (rows 100, 101, 102, 103, 104 ..): cells of 'note' lost their end"


def test_a_change_is_one_sentence_whatever_its_columns_and_splits():
    images = [
        SimpleNamespace(name=name, changes={"fit": "were resized"}, harmless={"fit"}) for name in ("left", "right")
    ]
    datasets = {name: Rows(losses=Losses(images, 1200)) for name in ("train", "val")}
    for row in range(20):
        datasets["train"].losses.count(row, [("left", Change("fit")), ("right", Change("fit"))])
    alike = "20 of 20 train rows: cells of 'left', 'right' were resized."
    assert change_notes(datasets) == [alike]
    datasets["val"].losses.count(30, [("right", Change("fit"))])
    (text,) = change_notes(datasets)
    assert text == "up to 20 of 20 train, 1 of 1 val rows: cells of 'left', 'right' were resized."


def test_waiting_is_a_share_of_the_time():
    assert waiting_note(Waiting(1.0, 4.0), Rows(prepared=True)) == (
        "Training waited for data in 25.0% of its 4 s; rows were kept decoded in memory."
    )
    assert waiting_note(Waiting(), Rows(prepared=False)).endswith("decoded when they were needed, see --workers.")


def test_a_result_on_validation_rows_says_so():
    assert result_notes("test", None) == []
    optimistic, stopped = result_notes("validation", "the time limit of 5 s is reached")
    assert optimistic.endswith("it is optimistic.")
    assert stopped == "Training stopped before its end: the time limit of 5 s is reached."


def test_a_time_limit_that_shortened_training_is_told():
    plan = Plan(3, 1200, 5000, 60.0, 0.01, 0.5, 4.2)
    (text,) = result_notes("test", None, plan)
    assert text == "The time limit of 60 s left time for 1,200 of 5,000 steps; the learning rate ended with them."
    assert result_notes("test", None, dataclasses.replace(plan, steps=5000)) == []


def test_how_shards_were_read_is_told():
    class Shards(ShardedTable):
        shards, window = range(1200), 4096

        def __init__(self):
            pass

    (note,) = reading_notes(Shards(), {"train": Rows(prepared=True)})
    assert note == (
        "The rows stay in 1,200 shards. Column statistics come from a sample of the rows, spread over the shards, with "
        "at least one row of each class. Rows are mixed within 4,096 at a time."
    )
    assert len(reading_notes(Shards(), {"train": Rows(prepared=False)})) == 2


def test_numbers_and_dates_of_another_spelling_are_told():
    day = Spelling("day", date_format="%d.%m.%Y")
    columns = (Spelling("price", decimal=","), Spelling("note", missing=("-",)), day)
    (note,) = written_notes(SimpleNamespace(spellings=Spellings(columns=columns)))
    assert note.startswith("Numbers and dates are read as they are written: price as ")
    assert ", day as " in note
    assert "note" not in note
    assert written_notes(SimpleNamespace(spellings=None)) == []
    assert written_notes(SimpleNamespace(spellings=Spellings(columns=columns[1:2]))) == []


def test_how_often_long_cells_are_decoded_is_told_up_front():
    film = VideoSpec("film", 5.0, 36000, 32, 32, 1, stem="convolution", stream_frames=300)
    sound = AudioSpec("sound", 8000, 8000, 100, mel_bands=8, mel_window=200, stream_samples=4000)
    spec = SimpleNamespace(modalities=[film, sound, AudioSpec("short", 8000, 8000, 100)])
    config = SimpleNamespace(model=SimpleNamespace(depth=2), training=SimpleNamespace(head_weight=1.0))
    assert long_cell_notes(spec, config) == [
        "cells of 'film' of 60 to 7,200.0 s are decoded piece by piece: 3 times for an answer, 6 times for a training "
        "step; --set data.max_video_seconds=60 reads their beginning alone",
        "cells of 'sound' of 0.5 to 1.0 s are decoded piece by piece: twice for an answer, 4 times for a training "
        "step; --set data.max_audio_seconds=0.5 reads their beginning alone",
    ]
