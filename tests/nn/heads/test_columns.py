"""The head that reads all columns of a row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_pytorch.nn.heads import head_config, head_from_config
from perceiver_pytorch.nn.heads.columns import ColumnsHead


def head(**arguments: object) -> ColumnsHead:
    torch.manual_seed(0)
    given = {"channels": [4, 3], "lengths": [5, 2], "size": 2, "hidden": 6, "members": 3, **arguments}
    return ColumnsHead(**given)  # type: ignore[arg-type]


def tokens(rows: int) -> list[torch.Tensor]:
    return [torch.randn(rows, 5, 4), torch.randn(rows, 2, 3)]


def test_the_answer_is_the_mean_of_the_members() -> None:
    model, read = head(dropout=0.0).eval(), tokens(7)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # members differ in all that is theirs
    x = torch.cat([each.flatten(1) for each in read], 1)
    answers = []
    for member in range(3):
        h = x
        for layer in model.layers:
            h = (h * (layer.signs[member] + layer.before[member])) @ layer.weight
            h = torch.nn.functional.silu(h * (1 + layer.after[member]) + layer.bias[member])
        answers.append(h @ model.weight[member] + model.bias[member])
    torch.testing.assert_close(model(read, [None, None]), torch.stack(answers).mean(0))


def test_of_rows_that_differ_in_length_it_reads_mean_and_maximum() -> None:
    model, read = head(lengths=[None, 2]).eval(), tokens(3)
    assert model.layers[0].weight.shape[0] == 2 * 4 + 2 * 3
    longer = [torch.nn.functional.pad(read[0], (0, 0, 0, 4), value=7.0), read[1]]
    mask = torch.arange(9).expand(3, 9) < 5
    torch.testing.assert_close(model(longer, [mask, None]), model(read, [None, None]))
    whole = torch.cat([read[0].mean(1), read[0].amax(1), read[1].flatten(1)], 1)[:, None]
    flat = head(channels=[14], lengths=[1]).eval()
    flat.load_state_dict(model.state_dict())
    torch.testing.assert_close(flat([whole], [None]), model(read, [None, None]))
    assert head_from_config(head_config(model)).lengths == [None, 2]


def test_in_training_each_row_goes_through_one_member(monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = head(dropout=0.0), tokens(3)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([2, 0, 1]))
    mixed = model(read, [None, None])
    for row, member in enumerate([2, 0, 1]):
        monkeypatch.setattr(torch, "randint", lambda *_, member=member, **__: torch.full((3,), member))
        torch.testing.assert_close(mixed[row], model(read, [None, None])[row])


def test_members_start_apart() -> None:
    model = head(dropout=0.0)
    assert len({tuple(signs.tolist()) for signs in model.layers[0].signs}) == 3
    assert (model.layers[1].signs == 1).all()


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**31))
def test_what_the_masks_hide_does_not_matter(rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, read = head().eval(), tokens(rows)
    masks = [torch.rand(rows, 5) < 0.5, torch.rand(rows, 2) < 0.5]
    hidden = [data.masked_fill(~mask[..., None], torch.nan) for data, mask in zip(read, masks, strict=True)]
    zeros = [data.masked_fill(~mask[..., None], 0) for data, mask in zip(read, masks, strict=True)]
    torch.testing.assert_close(model(hidden, masks), model(zeros, [None, None]))


def test_a_row_does_not_depend_on_its_batch() -> None:
    model, read = head().eval(), tokens(5)
    alone = model([each[2:3] for each in read], [None, None])
    torch.testing.assert_close(alone, model(read, [None, None])[2:3])


def test_all_weights_get_a_gradient() -> None:
    model = head()
    model(tokens(40), [None, None]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_a_configuration_makes_it_again() -> None:
    model = head(num_layers=3, dropout=0.2).eval()
    again = head_from_config(head_config(model)).eval()
    assert isinstance(again, ColumnsHead)
    again.load_state_dict(model.state_dict())
    read = tokens(3)
    torch.testing.assert_close(again(read, [None, None]), model(read, [None, None]))
    assert ColumnsHead.suited([4, 3], [5, 2], 2).lengths == [5, 2]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"channels": []}, "one number per modality"),
        ({"lengths": [5]}, "one number per modality"),
        ({"lengths": [5, 0]}, "each of lengths"),
        ({"channels": [4, 0]}, "each of channels"),
        ({"size": 0}, "size"),
        ({"hidden": 0}, "hidden"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_layers": 10**12}, "num_layers must"),
        ({"members": 0}, "members"),
        ({"dropout": 1.5}, "dropout"),
    ],
)
def test_sizes_must_be_positive(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        head(**arguments)
