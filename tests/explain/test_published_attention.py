"""Attention of published models is what transformers gives with ``output_attentions``, encoder and decoder."""

import pytest
import torch

from interop.peers import PEERS, built, save
from perceiver_pytorch.explain.attention import decoded, recorded
from perceiver_pytorch.interop import huggingface

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.mark.parametrize("task", PEERS)
def test_attention_is_that_of_transformers(task, tmp_path):
    peer = PEERS[task]
    inputs = peer.inputs()
    with torch.no_grad():
        theirs = built(task)(inputs=inputs, **peer.options(), output_attentions=True)
    model = huggingface.load(save(built(task), tmp_path)).eval()
    with recorded(model) as record:
        model(inputs, **peer.options())
    (weights,) = record.reads
    found = torch.cat([part.flatten(3) for part in weights.of()], -1)
    torch.testing.assert_close(found, theirs.cross_attentions[0], rtol=1e-4, atol=1e-6)
    latents = [step for step in record.steps if hasattr(step, "key")]
    assert len(latents) == len(theirs.attentions)
    for mix, expected in zip(latents, theirs.attentions, strict=True):
        torch.testing.assert_close(mix.weights(), expected, rtol=1e-4, atol=1e-6)
    shares = decoded(record)
    torch.testing.assert_close(shares, theirs.cross_attentions[-1].mean(1), rtol=1e-4, atol=1e-6)
    found = record.rollout(shares[:, :2])
    assert [part.shape[2:] for part in found] == [context.axes for context in weights.contexts]
