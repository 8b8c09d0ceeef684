"""The structured context: one modality's tokens, described by their parts instead of built.

Token ``(i, j, k)`` of a context with three axes is, channel by channel,

    [ data[i, j, k] * scale + offset | padding zeros | tables[0][i] | tables[1][j] | tables[2][k] | code ]

which is the token of release 1.4.0 (raw channels, zero padding up to the widest modality, Fourier features of every
axis, one-hot modality code). `Context.dense` builds that array for the reference backend and for tests; nothing else
does.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Context:
    """Tokens of one modality, as attended to by the latents.

    Args:
        data: ``(batch, *axes, channels)`` raw channels, any float dtype or an integer dtype (uint8 pixels are read as
            they are). At least one axis.
        tables: one table per axis, ``(length, features)`` shared by the batch or ``(batch, length, features)`` where a
            sample brings its own coordinates. Float. Empty for a context without positions.
        code: ``(code_channels,)`` channels that are the same for every token (the modality code), float.
        padding: number of zero channels between the data and the tables.
        mask: ``(batch, *axes)`` bool, True = attend; None attends to every token. What the data of masked tokens
            hold, NaN included, has no influence (a table must be finite throughout).
        scale: ``(channels,)`` or None: factor applied to the raw channels.
        offset: ``(channels,)`` or None: added after scaling.
        order: ``(num_channels,)`` int64 or None: where a token's channels stand, if not one part after the other:
            channel ``order[i]`` of the token is channel ``i`` of the parts in a row. Checkpoints of other libraries
            number channels in their own way.

    Raises:
        ValueError: if the shapes do not fit together.
        TypeError: if the mask is not bool.
    """

    data: Shaped[Tensor, "batch *axes channels"]
    tables: tuple[Float[Tensor, "... _length _features"], ...] = ()
    code: Float[Tensor, " code"] | None = None
    padding: int = 0
    mask: Bool[Tensor, "batch *axes"] | None = None
    scale: Float[Tensor, " channels"] | None = None
    offset: Float[Tensor, " channels"] | None = None
    order: Shaped[Tensor, " channels_in_all"] | None = None
    derived: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """What backends have worked out of the constant parts: every layer that reads this context uses it again."""

    def __post_init__(self) -> None:
        if self.data.dim() < 3:
            raise ValueError(f"data must be (batch, *axes, channels) with at least one axis, got {_shape(self.data)}")
        if self.tables and len(self.tables) != len(self.axes):
            raise ValueError(f"one table per axis is needed: {len(self.axes)} axes, {len(self.tables)} tables")
        for axis, table in enumerate(self.tables):  # torch 2.6 traces no zip of two lengths
            length = self.axes[axis]
            if table.shape[-2:-1] != (length,) or table.shape[:-2] not in ((), self.data.shape[:1]):
                raise ValueError(
                    f"table of axis {axis} must be ({length}, features) or ({self.data.shape[0]}, {length}, features), "
                    f"got {_shape(table)}"
                )
        if self.code is not None and self.code.dim() != 1:
            raise ValueError(f"code must be (channels,), got {_shape(self.code)}")
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0, got {self.padding}")
        if self.mask is not None and self.mask.dtype != torch.bool:
            raise TypeError(f"mask must be bool (True = attend), got {self.mask.dtype}")
        if self.mask is not None and self.mask.shape != self.data.shape[:-1]:
            raise ValueError(f"mask must be {tuple(self.data.shape[:-1])}, got {_shape(self.mask)}")
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if value is not None and value.shape != self.data.shape[-1:]:
                raise ValueError(
                    f"{name} must have one value per data channel ({self.data.shape[-1]}), got {_shape(value)}"
                )
            if value is not None and value.requires_grad:
                raise ValueError(f"{name} is a constant and gets no gradient; apply a learned one to the data itself")

        if self.order is not None and self.order.shape != (self.num_channels,):
            raise ValueError(f"order must name each of the {self.num_channels} channels once, got {_shape(self.order)}")

    @property
    def axes(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.data.shape[1:-1])

    @property
    def num_tokens(self) -> int:
        """Number of tokens per sample."""
        return math.prod(self.axes)

    @property
    def num_channels(self) -> int:
        """Channels of a token: data, padding, positions and code together."""
        code = 0 if self.code is None else self.code.shape[0]
        return self.data.shape[-1] + self.padding + sum(table.shape[-1] for table in self.tables) + code

    def dense(self, dtype: torch.dtype | None = None) -> Float[Tensor, "batch tokens channels_in_all"]:
        """The input array itself, ``(batch, num_tokens, num_channels)``, in ``dtype`` (default: float32 or wider)."""
        data = self.own(dtype)
        tokens = torch.cat([data, *self._around(data, data.shape[0])], dim=-1).flatten(1, -2)
        return tokens if self.order is None else tokens[..., self.order.argsort()]

    def own(self, dtype: torch.dtype | None = None) -> Float[Tensor, "batch *axes channels"]:
        """The channels of the data as they are in tokens."""
        data = self.data.to(dtype or torch.promote_types(self.data.dtype, torch.float32))
        if self.scale is not None:
            data = data * self.scale.to(data.dtype)
        if self.offset is not None:
            data = data + self.offset.to(data.dtype)
        return data

    def others(self, dtype: torch.dtype) -> Float[Tensor, "one_or_batch tokens other_channels"]:
        """The channels behind the data's, if channels lie one part after the other: once where all samples share
        them."""
        batch = max([1, *(table.shape[0] for table in self.tables if table.dim() == 3)])
        like = self.data.new_empty(0, dtype=dtype)
        return torch.cat(self._around(like, batch), dim=-1).flatten(1, -2)

    def _around(self, like: Tensor, batch: int) -> list[Tensor]:
        """Padding, positions and code of each token of so many samples, in the dtype of a tensor."""
        shape = (batch, *self.axes)
        parts = [like.new_zeros(*shape, self.padding)]
        for axis, table in enumerate(self.tables):
            # (length, features) or (batch, length, features) -> broadcastable to (batch, *axes, features)
            view = [1] * len(shape) + [table.shape[-1]]
            view[1 + axis] = table.shape[-2]
            if table.dim() == 3:
                view[0] = table.shape[0]
            parts.append(table.to(like.dtype).reshape(view).expand(*shape, table.shape[-1]))
        if self.code is not None:
            parts.append(self.code.to(like.dtype).expand(*shape, -1))
        return parts

    def in_parts_order(self) -> "Context":
        """The same context with channels one part after the other; worked out once."""
        if self.order is None:
            return self
        if "in parts' order" not in self.derived:
            parts = Context(self.data, self.tables, self.code, self.padding, self.mask, self.scale, self.offset)
            self.derived["in parts' order"] = parts
        return self.derived["in parts' order"]


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
