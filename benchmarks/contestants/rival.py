"""A hand-optimised rival of the classical design, in plain PyTorch: what a careful engineer gets out of the array.

The input array is built and normalised once per forward. LayerNorm's weights are folded into the projections, so that
keys and values are projected once per set of tied weights; attention is ``scaled_dot_product_attention``. The rest of
the model, its weights and its output are those of release 1.4.0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.contestants import ours
from benchmarks.contestants.dense import embedded_tokens, input_array
from benchmarks.contestants.libraries import bare

PEER = None
WARM_UPS = 1
HEADS = {"cross": 1, "latent": 8}


def unsupported(case: Case) -> str | None:
    return None


def note(case: Case) -> str:
    return ""


def build(case: Case) -> nn.Module:
    return Rival(case, bare(ours.build(case)).state_dict())


class Rival(nn.Module):
    """The model of a case.

    Args:
        case: what it reads; default heads of the release.
        state: state dict of the release's model. Entries that share memory are one parameter here: tied weights.
    """

    def __init__(self, case: Case, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.case = case
        unique: dict[int, nn.Parameter] = {}
        for key, value in state.items():
            parameter = unique.setdefault(value.data_ptr(), nn.Parameter(value.detach()))
            self.register_parameter(key.replace(".", "/"), parameter)  # a name may hold no dot

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        batch = next(iter(inputs.values())).shape[0]
        x = self._weight("latents").expand(batch, -1, -1)
        tokens = _Tokens(self, inputs)
        for i in range(self.case.depth):
            x = self._layer(f"layers.{i}", x, tokens.keys_and_values(i))
        x = self._norm("to_logits.0", x.mean(dim=1))
        return F.linear(x, self._weight("to_logits.1.weight"), self._weight("to_logits.1.bias"))

    def _layer(self, name: str, x: Tensor, keys_and_values: Tensor) -> Tensor:
        x = x + self._attend(f"{name}.0", self._norm(f"{name}.0.norm", x), keys_and_values, HEADS["cross"])
        x = x + self._feed_forward(f"{name}.1", x)
        if self.case.model == "Perceiver":
            return self._block(f"{name}.2", f"{name}.3", x)
        out = x
        for j in range(self.case.num_blocks):
            out = self._block(f"{name}.2.latent_blocks.{j}.0", f"{name}.2.latent_blocks.{j}.1", out)
        return out + x  # the release's second residual, around blocks that have their own

    def _block(self, attention: str, feed_forward: str, x: Tensor) -> Tensor:
        normed = self._norm(f"{attention}.norm", x)
        keys_and_values = F.linear(normed, self._weight(f"{attention}.fn.to_kv.weight"))
        x = x + self._attend(attention, normed, keys_and_values, HEADS["latent"])
        return x + self._feed_forward(feed_forward, x)

    def _attend(self, name: str, normed: Tensor, keys_and_values: Tensor, heads: int) -> Tensor:
        queries = F.linear(normed, self._weight(f"{name}.fn.to_q.weight"))
        parts = (queries, *keys_and_values.chunk(2, dim=-1))
        # (batch, length, heads * dim_head) -> (batch, heads, length, dim_head)
        query, key, value = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in parts)
        out = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return F.linear(out, self._weight(f"{name}.fn.to_out.0.weight"), self._weight(f"{name}.fn.to_out.0.bias"))

    def _feed_forward(self, name: str, x: Tensor) -> Tensor:
        """Linear, GEGLU, linear."""
        net = f"{name}.fn.net"
        hidden = F.linear(self._norm(f"{name}.norm", x), self._weight(f"{net}.0.weight"), self._weight(f"{net}.0.bias"))
        value, gate = hidden.chunk(2, dim=-1)
        return F.linear(value * F.gelu(gate), self._weight(f"{net}.3.weight"), self._weight(f"{net}.3.bias"))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self._weight(f"{name}.weight"), self._weight(f"{name}.bias"))

    def _weight(self, key: str) -> Tensor:
        weight = self._parameters[key.replace(".", "/")]
        assert weight is not None
        return weight


class _Tokens:
    """One forward's tokens, normalised without weights, and their keys and values per set of weights."""

    def __init__(self, model: Rival, inputs: dict[str, Tensor]) -> None:
        self.model = model
        self.text = [m for m in model.case.modalities if m.vocabulary]
        ids = {m.name: inputs[m.name].squeeze(-1) for m in self.text}
        self.embedded = {k: F.embedding(v, model._weight(f"embeddings.{k}.weight")) for k, v in ids.items()}
        array = input_array(model.case, {k: v for k, v in inputs.items() if k not in ids})
        self.normed = F.layer_norm(array, array.shape[-1:])
        self.projected: dict[int, Tensor] = {}

    def keys_and_values(self, layer: int) -> Tensor:
        """``(batch, tokens, 2 * dim_head)``; those of text belong to one layer, the others to a set of weights."""
        model, name = self.model, f"layers.{layer}.0"
        projection = model._weight(f"{name}.fn.to_kv.weight")
        weight = projection * model._weight(f"{name}.norm_context.weight")
        bias = projection @ model._weight(f"{name}.norm_context.bias")
        if id(projection) not in self.projected:
            self.projected[id(projection)] = F.linear(self.normed, weight, bias)
        parts = [self.projected[id(projection)]]
        for modality in self.text:
            tokens = embedded_tokens(model.case, modality, self.embedded[modality.name], layer)
            parts.append(F.linear(F.layer_norm(tokens, tokens.shape[-1:]), weight, bias))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
