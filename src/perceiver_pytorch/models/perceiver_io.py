"""Perceiver IO: any inputs, any outputs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_pytorch import _checks
from perceiver_pytorch.models.inputs import ModalityReader
from perceiver_pytorch.models.masks import Masks, drop_tokens
from perceiver_pytorch.models.modalities import Coordinates, InputModality
from perceiver_pytorch.models.outputs import Output, by_output, output_from_config
from perceiver_pytorch.models.streamed_input import StreamedInput
from perceiver_pytorch.nn.block import AttentionBlock
from perceiver_pytorch.nn.decoder import QueryDecoder
from perceiver_pytorch.nn.encoder import encode
from perceiver_pytorch.nn.init import init_latents, init_linears
from perceiver_pytorch.nn.io_layer import build_io_layers
from perceiver_pytorch.nn.module_dict import NamedModules
from perceiver_pytorch.nn.query_arrays import CodedQueries, check_indices, check_queries
from perceiver_pytorch.ops import Context

Result = Tensor | dict[str, Tensor]


class PerceiverIO(ModalityReader, tags=["multimodal", "perceiver-io"]):
    """Perceiver IO (Jaegle et al. 2021, arXiv 2107.14795): reads any mix of modalities, and answers queries.

    The defaults are those of the paper's ImageNet model (section 4.5 and appendix F): 512 latents of 1024 channels, one
    cross-attend, 6 latent blocks run through 8 times, no widening in the feed-forward parts.

    Args:
        modalities: the kinds of input, as in the other models.
        outputs: the named outputs; empty: the latents are returned. One decoder serves all of them.
        depth: number of layers, each a cross-attend onto the input and a stack of latent blocks.
        num_latents, latent_dim: size of the latent array.
        num_latent_blocks_per_layer: latent blocks in each layer.
        num_latent_block_repeats: how often a layer runs through its latent blocks.
        weight_tie_layers: one set of latent blocks for all layers, and one cross-attend for all but the first
            (Perceiver, section 4.1).
        cross_heads, latent_heads, decoder_heads: heads of the three kinds of attention.
        cross_qk_dim, cross_v_dim, latent_qk_dim, latent_v_dim, decoder_qk_dim, decoder_v_dim: channels of queries and
            keys, and of values, of all heads together; default: ``latent_dim``, and for values those of the keys.
        widening_factor, decoder_widening_factor: how many times as wide feed-forward parts are inside.
        bias: biases of the projections to queries, keys and values.
        activation: of the feed-forward parts, ``"gelu"`` or ``"geglu"``.
        dropout: probability, after attention and inside feed-forward parts.
        seq_dropout: share of the tokens that each sample loses in training.
        inverted_cross_attend: let latents compete for the tokens, as slots do; see `AttentionBlock`.
        query_dim: channels of the decoder's queries; default: those of the widest output, and with several outputs
            ``query_code_dim`` more. Narrower queries are padded with a learned code.
        query_code_dim: least length of the learned code, by which the decoder tells several outputs apart.
        decoder_dim: channels of what the decoder gives to the outputs' projections; default: ``latent_dim``, or
            ``query_dim`` with ``decoder_query_residual``.
        decoder_query_residual: add the queries to what they read.
        decoder_feed_forward: a feed-forward part in the decoder.
        query_chunk_size: queries that are decoded at a time without gradients (or with `recompute`); None: all.
        fourier_encode_positions: give tokens their positions.
        freq_scale: spacing of the Fourier bands, ``"linear"`` (the paper) or ``"log"``.
        modality_code_dim: width of a learned code per modality; None: one-hot codes, where there are several.

    Attributes:
        recompute: set it to True to train with less memory: activations inside a block and a chunk of queries are
            computed again in the backward pass instead of kept.

    Raises:
        ValueError, TypeError: for sizes out of range, names given twice, queries of modalities that there are not.

    Example:
        >>> import torch
        >>> from perceiver_pytorch import FourierQueries, LearnedQueries, Output
        >>> model = PerceiverIO(
        ...     modalities=[InputModality("image", 3, 2, num_freq_bands=4, max_freq=16.0)],
        ...     outputs=[
        ...         Output("class", LearnedQueries(dim=16), channels=10),
        ...         Output("depth", FourierQueries((16, 16), num_freq_bands=4), channels=1),
        ...     ],
        ...     num_latents=8, latent_dim=16, num_latent_block_repeats=1,
        ... )
        >>> {name: tuple(value.shape) for name, value in model({"image": torch.randn(2, 16, 16, 3)}).items()}
        {'class': (2, 10), 'depth': (2, 16, 16, 1)}
    """

    latents: nn.Parameter
    decoder: QueryDecoder | None

    def __init__(
        self,
        *,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        outputs: Iterable[Output | Mapping[str, Any]] = (),
        depth: int = 1,
        num_latents: int = 512,
        latent_dim: int = 1024,
        num_latent_blocks_per_layer: int = 6,
        num_latent_block_repeats: int = 8,
        weight_tie_layers: bool = False,
        cross_heads: int = 1,
        latent_heads: int = 8,
        decoder_heads: int = 1,
        cross_qk_dim: int | None = None,
        cross_v_dim: int | None = None,
        latent_qk_dim: int | None = None,
        latent_v_dim: int | None = None,
        decoder_qk_dim: int | None = None,
        decoder_v_dim: int | None = None,
        widening_factor: int = 1,
        decoder_widening_factor: int = 1,
        bias: bool = True,
        activation: str = "gelu",
        dropout: float = 0.0,
        seq_dropout: float = 0.0,
        inverted_cross_attend: bool = False,
        query_dim: int | None = None,
        query_code_dim: int = 2,
        decoder_dim: int | None = None,
        decoder_query_residual: bool = False,
        decoder_feed_forward: bool = True,
        query_chunk_size: int | None = 8192,
        fourier_encode_positions: bool = True,
        freq_scale: str = "linear",
        modality_code_dim: int | None = None,
    ) -> None:
        super().__init__()
        _checks.positive_ints(depth=depth, num_latents=num_latents, latent_dim=latent_dim)
        _checks.positive_int("num_latent_block_repeats", num_latent_block_repeats)
        _checks.positive_int("num_latent_blocks_per_layer", num_latent_blocks_per_layer, minimum=0)
        _checks.num_blocks(depth, num_latent_blocks_per_layer + 1, num_latent_block_repeats)
        cross = _heads("cross", latent_dim, cross_heads, cross_qk_dim, cross_v_dim)
        latent = _heads("latent", latent_dim, latent_heads, latent_qk_dim, latent_v_dim)
        decoder = _heads("decoder", latent_dim, decoder_heads, decoder_qk_dim, decoder_v_dim)
        decoder |= {"query_residual": decoder_query_residual, "feed_forward": decoder_feed_forward}
        decoder |= {"output_dim": decoder_dim, "widening_factor": decoder_widening_factor}
        common: dict[str, Any] = {"bias": bias, "activation": activation, "dropout": dropout}
        self.recompute, self.seq_dropout = False, _seq_dropout(seq_dropout)
        self._declare_io(modalities, outputs, depth, freq_scale, modality_code_dim, fourier_encode_positions)
        self.latents = init_latents(num_latents, latent_dim, "truncated_normal")
        self._init_codes()
        block = partial(AttentionBlock, latent_dim, widening_factor=widening_factor, **common)
        read = partial(block, self.max_modality_dim, inverted=inverted_cross_attend, **cross)
        counts = depth, num_latent_blocks_per_layer, num_latent_block_repeats
        self.layers = build_io_layers(read, partial(block, **latent), *counts, weight_tie_layers)
        self._build_decoder(latent_dim, common | decoder, query_dim, query_code_dim, query_chunk_size)
        init_linears(self, "variance_scaling")

    def _declare_io(
        self,
        modalities: Iterable[InputModality | Mapping[str, Any]],
        outputs: Iterable[Output | Mapping[str, Any]],
        depth: int,
        freq_scale: str,
        code_dim: int | None,
        fourier_encode_positions: bool,
    ) -> None:
        """What is read, and what is asked for."""
        self._declare(
            modalities,
            depth=depth,
            freq_scale=_checks.choice("freq_scale", freq_scale, ("linear", "log")),
            embed=True,
            one_hot_codes=None,
            code_dim=code_dim,
            fourier_encode_positions=fourier_encode_positions,
        )
        self.outputs = _checks.by_name("outputs", outputs, Output, output_from_config)
        self._record_config(outputs=[output.to_config() for output in self.outputs.values()])

    def _build_decoder(
        self,
        latent_dim: int,
        block: dict[str, Any],
        query_dim: int | None,
        query_code_dim: int,
        query_chunk_size: int | None,
    ) -> None:
        """Makes the queries of every output, and the one decoder of all, if there are outputs.

        Args:
            latent_dim: width of the latents.
            block: arguments of the decoder's `AttentionBlock`.
            query_dim, query_code_dim, query_chunk_size: as in the constructor.
        """
        self.queries, self.decoder = NamedModules(), None
        if not self.outputs:
            return
        width = self._init_queries(query_dim, query_code_dim)
        if block["output_dim"] is None:
            block["output_dim"] = width if block["query_residual"] else latent_dim
        block["qk_dim"] = latent_dim if block["qk_dim"] is None else block["qk_dim"]
        channels = {name: output.channels for name, output in self.outputs.items()}
        self.decoder = QueryDecoder(
            AttentionBlock(width, latent_dim, **block), block["output_dim"], channels, query_chunk_size
        )

    def forward(
        self,
        multi_modality_data: Mapping[str, Tensor | StreamedInput] | Tensor | StreamedInput,
        mask: Masks = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        coordinates: Mapping[str, Coordinates] | None = None,
        queries: Mapping[str, Tensor] | Tensor | None = None,
        indices: Mapping[str, Tensor] | Tensor | None = None,
        outputs: Sequence[str] | None = None,
        return_embeddings: bool = False,
        return_hidden_states: bool = False,
    ) -> Result | tuple[Result, list[Tensor]]:
        """Runs the model on a batch that has some or all of the declared modalities.

        Args:
            multi_modality_data: per modality ``(batch, *axes, channels)`` or token ids, as in `MultiModalityPerceiver`;
                a tensor, in a model of one modality.
            mask, present, coordinates: as in `MultiModalityPerceiver`.
            queries: per output ``(batch, queries, dim)`` or ``(queries, dim)`` float, instead of those that the model
                builds; ``dim`` without the learned code. A tensor, in a model of one output.
            indices: per output ``(queries,)`` or ``(batch, queries)`` int64: decode these places of its grid only, by
                their row-major index (training on a sub-sample; see `perceiver_pytorch.nn.random_indices`). A tensor,
                in a model of one output.
            outputs: names of the outputs that are wanted; None: all.
            return_embeddings: return the latents ``(batch, num_latents, latent_dim)`` instead of the outputs.
            return_hidden_states: return also the list of the latents after each cross-attend and each latent block.

        Returns:
            ``(batch, *axes, channels)`` per output, the axes being those of its queries' grid; ``(batch, queries,
            channels)`` where it was given queries or indices. A tensor in a model of one output, else a dict. The
            latents, in a model without outputs. With ``return_hidden_states`` a pair of this and the list.

        Raises:
            ValueError, TypeError: as in `MultiModalityPerceiver`, and for queries or indices that do not fit.
        """
        one = (Tensor, StreamedInput)  # torch.compile of PyTorch 2.6 knows no union of types
        if isinstance(multi_modality_data, one) and len(self.modalities) == 1:
            multi_modality_data = {next(iter(self.modalities)): multi_modality_data}
        contexts = self._contexts(multi_modality_data, mask, present, coordinates)  # type: ignore[arg-type]
        named = zip(sorted(multi_modality_data), contexts[0], strict=True)  # type: ignore[arg-type]
        # For queries, which lose nothing, and which no stream can be.
        by_name = {name: context for name, context in named if isinstance(context, Context)}
        if self.training and self.seq_dropout:
            contexts = drop_tokens(contexts, self.seq_dropout)
        states: list[Tensor] = []
        keep = states if return_hidden_states else None
        steps = [
            partial(layer, context=context, recompute=self.recompute, hidden_states=keep)
            for layer, context in zip(self.layers, contexts, strict=True)
        ]
        x = encode(self.latents.expand(contexts[0][0].data.shape[0], -1, -1), steps)
        result: Result = x
        if self.decoder is not None and not return_embeddings:
            result = self._decode(x, by_name, queries, indices, outputs)
        return (result, states) if return_hidden_states else result

    def _init_queries(self, query_dim: int | None, code_dim: int) -> int:
        """Makes what builds the queries; gives their width."""
        channels = {name: self.token_channels(name) for name in self.modalities}
        dims = {name: (c.data, c.position) for name, c in channels.items()}
        arrays = {name: [spec.build(dims) for spec in output.specs] for name, output in self.outputs.items()}
        widest = max(sum(array.dim for array in each) for each in arrays.values())
        _checks.positive_int("query_code_dim", code_dim, minimum=0)
        width = widest + (code_dim if len(arrays) > 1 else 0) if query_dim is None else query_dim
        if _checks.positive_int("query_dim", width) < widest:
            raise ValueError(f"query_dim must be at least {widest}, the width of the widest queries, got {query_dim}")
        for name, each in arrays.items():
            self.queries[name] = CodedQueries(each, width)
        return width

    def _decode(
        self,
        latents: Tensor,
        contexts: Mapping[str, Context],
        queries: Mapping[str, Tensor] | Tensor | None,
        indices: Mapping[str, Tensor] | Tensor | None,
        outputs: Sequence[str] | None,
    ) -> Result:
        """The outputs wanted."""
        if isinstance(outputs, str):
            raise TypeError(f"outputs must be a sequence of names, got {outputs!r}; use [{outputs!r}]")
        names = tuple(self.outputs)
        given, at = by_output("queries", queries, names), by_output("indices", indices, names)
        for name in (wanted := names if outputs is None else tuple(outputs)):
            _checks.choice("an output", name, names)
        for name in (*given, *at):
            if name in given and name in at:
                raise ValueError(f"output {name!r}: give queries or indices, not both")
        results = {name: self._answer(name, latents, contexts, given.get(name), at.get(name)) for name in wanted}
        return results if len(names) > 1 or not wanted else results[names[0]]

    def _answer(
        self,
        name: str,
        latents: Tensor,
        contexts: Mapping[str, Context],
        given: Tensor | None,
        indices: Tensor | None,
    ) -> Tensor:
        """One output."""
        batch = latents.shape[0]
        coded: CodedQueries = self.queries[name]  # type: ignore[assignment]  # or what somebody put around it
        assert self.decoder is not None
        axes: tuple[int, ...]
        if given is not None:
            rows = check_queries(name, given, batch, coded.dim)
            axes = (rows.shape[1],)
            build: Callable[[int, int], Tensor] = partial(_slice, rows)
        else:
            axes = coded.axes(contexts)
            if indices is None:
                places = torch.arange(math.prod(axes), device=latents.device)
            else:
                places = check_indices(name, indices, batch, math.prod(axes))
                axes = (places.shape[-1],)
            build = partial(_at, coded, contexts, places)
        result = self.decoder(
            name,
            lambda start, stop: coded(build(start, stop).to(latents.dtype)),
            math.prod(axes),
            latents,
            recompute=self.recompute,
        )
        return result.reshape(batch, *axes, result.shape[-1])

    def _output_words(self) -> str:
        if not self.outputs:
            return "latents"
        parts = [f"{o.name} ({'decoder' if o.channels is None else o.channels})" for o in self.outputs.values()]
        return ", ".join(parts)


def _slice(queries: Tensor, start: int, stop: int) -> Tensor:
    return queries[:, start:stop]


def _at(coded: CodedQueries, contexts: Mapping[str, Context], places: Tensor, start: int, stop: int) -> Tensor:
    return coded.at(places[..., start:stop], contexts)


def _seq_dropout(share: float) -> float:
    if _checks.probability("seq_dropout", share) == 1:
        raise ValueError("seq_dropout must be less than 1, else no token is left")
    return share


def _heads(kind: str, latent_dim: int, heads: int, qk_dim: int | None, v_dim: int | None) -> dict[str, Any]:
    """Arguments of an `AttentionBlock`, if the heads divide what they share."""
    _checks.positive_int(f"{kind}_heads", heads)
    qk = f"latent_dim={latent_dim}" if qk_dim is None else f"{kind}_qk_dim={qk_dim}"
    for name, value in ((qk, latent_dim if qk_dim is None else qk_dim), (f"{kind}_v_dim={v_dim}", v_dim)):
        if isinstance(value, int) and value % heads:
            raise ValueError(f"{kind}_heads must divide {name}, got {heads}")
    return {"heads": heads, "qk_dim": qk_dim, "v_dim": v_dim}
