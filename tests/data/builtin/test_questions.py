import pytest

from perceiver_pytorch.data.builtin.questions import QUESTIONS


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("sum", "10"),
        ("difference", "4"),
        ("larger", "7"),
        ("smaller", "3"),
        ("dialled_even", "no"),
        ("written_even", "no"),
        ("written", "3"),
        ("dialled", "7"),
    ],
)
def test_answers_for_a_written_3_and_a_dialled_7(asked, answer):
    assert QUESTIONS[asked].answer(3, 7) == answer


def test_every_question_has_several_wordings_of_its_own():
    wordings = [wording for question in QUESTIONS.values() for wording in question.wordings]
    assert len(set(wordings)) == len(wordings)
    assert all(4 <= len(question.wordings) <= 6 for question in QUESTIONS.values())


def test_even_digits():
    assert [QUESTIONS["written_even"].answer(w, 1) for w in (0, 1, 8)] == ["yes", "no", "yes"]
