"""Maps by gradients: they add up to the difference of the evidence, and are those of autograd."""

import pytest
import torch

from explain_helpers import rich
from perceiver_pytorch.data import collate
from perceiver_pytorch.explain.gradients import gradients_times_input, integrated_gradients
from perceiver_pytorch.explain.subject import Question, with_inputs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    subject, rows = rich(tmp_path_factory.mktemp("rich"), left_out={"clip"})
    batch = collate([rows[i] for i in range(4)], subject.spec)
    return subject, batch, Question.of(subject, batch)


def test_integrated_gradients_add_up_to_the_difference_of_the_evidence(made):
    found = integrated_gradients(*made, steps=64)
    has_all = slice(1, None)  # whether a number is there is yes or no: that has no gradient
    assert (found.gap <= 0.02 * found.difference.abs() + 0.002)[has_all].all()


def test_every_modality_takes_part_whether_its_tokens_are_values_or_ids(made):
    subject, batch, question = made
    found = integrated_gradients(subject, batch, question, steps=4)
    assert found.parts.keys() == batch.inputs.keys()
    for name, part in found.parts.items():
        assert part.abs().sum() > 0, name
        assert part.shape == (batch.inputs[name].shape if name not in subject.lookups else part.shape)
        if name in batch.masks:
            gone = ~batch.masks[name]
            assert not part[gone].any(), name


def test_gradients_times_input_are_what_autograd_gives(made):
    subject, batch, question = made
    values = batch.inputs["curve"].clone().requires_grad_()
    question.evidence(subject, with_inputs(batch, {"curve": values})).sum().backward()
    found = gradients_times_input(subject, batch, question).parts["curve"]
    expected = values.grad * values.detach() * batch.masks["curve"].unsqueeze(-1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_rows_do_not_see_one_another(made):
    subject, batch, question = made
    together = integrated_gradients(subject, batch, question, steps=3).parts
    alone = batch.of_rows(slice(2, 3))
    single = integrated_gradients(subject, alone, Question(question.target, question.chosen[2:3]), steps=3).parts
    for name, part in single.items():
        torch.testing.assert_close(part[0], together[name][2], rtol=1e-3, atol=1e-5)


def test_no_gradient_is_left_in_the_model(made):
    subject, batch, question = made
    subject.model.zero_grad()
    integrated_gradients(subject, batch, question, steps=2)
    assert all(parameter.grad is None for parameter in subject.model.parameters())
