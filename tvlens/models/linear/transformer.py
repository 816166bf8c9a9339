"""A transformer of linear attention only, of which theory knows the minimisers.

The model of Dong et al. (arXiv 2506.09048), section 3: no read-in, softmax, norm or MLP; the
residual stream is the prompt itself, an x half and a y half of width d for each token.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from tvlens.base.errors import InputError
from tvlens.models.linear.attention import attention_of
from tvlens.models.linear.config import DropoutKind, LinearConfig
from tvlens.prompts import ColumnFormat, Prompt


class LinearBlock(nn.Module):
    """One layer: linear attention, added to the residual stream."""

    def __init__(
        self,
        config: LinearConfig,
        layer: int,
        d: int,
        format: ColumnFormat,
        examples: int,
    ) -> None:
        super().__init__()
        self.attn = attention_of(config, layer, d, format, examples)
        self.causal, self.dropout = config.causal, config.dropout.loses
        self.hook_resid_pre, self.hook_resid_post = HookPoint(), HookPoint()
        self.hook_attn_out = HookPoint()

    def forward(
        self,
        residual: Float[Tensor, "batch position width"],
        position_ids: Int[Tensor, "#batch position"],
        only: slice = slice(None),
        kept: Bool[Tensor, "batch position"] | None = None,
    ) -> Float[Tensor, "batch query width"]:
        """The residual stream after this layer, at the positions `only`."""
        residual = seen = self.hook_resid_pre(residual)
        if kept is not None and self.dropout is not DropoutKind.OUTPUT:
            seen = residual * kept[..., None]
        attn_out = self.hook_attn_out(self._attend(seen, position_ids, only))
        stream = residual if self.dropout is DropoutKind.ATTENTION_INPUT else seen
        after = stream[:, only] + attn_out
        if kept is not None and self.dropout is DropoutKind.OUTPUT:
            after = after * kept[:, only, None]
        return self.hook_resid_post(after)

    def _attend(
        self,
        seen: Float[Tensor, "batch position width"],
        position_ids: Int[Tensor, "#batch position"],
        only: slice,
    ) -> Float[Tensor, "batch query width"]:
        """(1/n) V (Z M (Z^T Q Z)), where M hides the last token from all."""
        sources = seen[:, :-1]
        scores = self.attn.scores(
            sources, seen[:, only], position_ids[:, :-1], position_ids[:, only]
        )
        mixed = scores.mix_causally(sources, only) if self.causal else scores.mix(sources)
        return self.attn.values(mixed)


class LinearTransformer(HookedRootModule):
    """Linear attention from prompts of a `ColumnFormat` to predictions of y.

    Layer l means a boundary of the residual stream, as in `HookedTransformer`: 0 is the prompt, l
    the stream after block l. The stream is the transpose of the paper's Z: "batch position 2d", x
    half first. On the last token its y half approaches -y, the sign that the paper's loss
    `|Z + y|^2` has; predictions have the sign turned.

    To run many models in one batch, stack their weights with `torch.func.stack_module_state` and
    map over `torch.func.functional_call` with `torch.func.vmap`.
    """

    def __init__(
        self,
        config: LinearConfig,
        d: int,
        format: ColumnFormat,
        examples: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Build a model with fresh weights.

        Args:
            config: size and kind.
            d: width of x, and of y.
            format: how examples become tokens.
            examples: the n of prompts, which fixes the table of positions and the scale 1/n.
            generator: source of the initial weights, on the CPU so that a seed means the same on
                every device; PyTorch's global one if None.
            device: where the model is created.
            dtype: of all weights.

        Raises:
            InputError: d or examples below 1; or a first layer that lifts x, where the format does
                not have it below.
        """
        super().__init__()
        if d < 1 or examples < 1:
            raise InputError(
                f"LinearTransformer needs d >= 1 and examples >= 1, got {d} and {examples}."
            )
        config.check_first_layer(format)
        self.config, self.d, self.format, self.examples = config, d, format, examples
        with torch.device(device or torch.get_default_device()):
            self.blocks = nn.ModuleList(
                LinearBlock(config, layer, d, format, examples) for layer in range(config.n_layers)
            )
        self.to(dtype)
        self.matrices = [name for name, each in self.named_parameters() if each.dim() == 2]
        """Names of the weights that Muon may orthogonalise."""
        self._initialise(generator)
        self.setup()

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return self.config.n_layers

    def forward(
        self,
        inputs: Float[Tensor, "batch position width"],
        position_ids: Int[Tensor, "#batch position"] | None = None,
        *,
        start_at_layer: int | None = None,
        stop_at_layer: int | None = None,
        only: slice | None = None,
        kept: Bool[Tensor, "layer batch position"] | None = None,
    ) -> Float[Tensor, "batch query d_result"]:
        """Run the model, or some of its layers.

        Args:
            inputs: the prompt, or with `start_at_layer` the residual stream at that layer.
            position_ids: rows and columns of D that the tokens have; 0, 1, 2, .. if None. They let
                a prompt without examples stand where the query of a context does.
            start_at_layer: the layer that `inputs` is at. Blocks before it do not run.
            stop_at_layer: the layer whose residual stream is returned. Blocks after it do not run.
            only: the positions that are returned, all if None; the last block that runs computes no
                others.
            kept: which tokens dropout leaves in each layer; all if None. See `sample_kept`.

        Returns:
            Predictions of y, which is minus the y half of the last stream, or with `stop_at_layer`
            the residual stream there.

        Raises:
            InputError: a layer, width, position or mask that does not fit this model.
        """
        stop = self.n_layers if stop_at_layer is None else stop_at_layer
        start = start_at_layer or 0
        self._check(inputs, start, stop, kept)
        if position_ids is None:
            position_ids = torch.arange(inputs.shape[1], device=inputs.device)[None]
        residual, chosen = inputs, slice(None) if only is None else only
        for layer in range(start, stop):
            residual = self.blocks[layer](
                residual,
                position_ids,
                chosen if layer == stop - 1 else slice(None),
                None if kept is None else kept[layer],
            )
        if start == stop:
            residual = residual[:, chosen]
        return residual if stop_at_layer is not None else -residual[..., self.d :]

    def answer(
        self, prompt: Prompt, kept: Bool[Tensor, "layer batch position"] | None = None
    ) -> Float[Tensor, "batch d"]:
        """The prediction for the query of a prompt, read at its last token.

        Args:
            prompt: as a `ColumnFormat` lays it out.
            kept: see `forward`.
        """
        outputs = self(prompt.inputs, prompt.position_ids, only=slice(-1, None), kept=kept)
        return outputs[:, 0]

    @property
    def causal(self) -> bool:
        """Whether no token sees those to the right of it."""
        return self.config.causal

    def sample_kept(
        self, batch: int, *, generator: torch.Generator
    ) -> Bool[Tensor, "layer batch position"]:
        """Draw which tokens of a prompt the configured dropout leaves, on the generator's device.

        The x of the query and the token that is read out always stay; for
        `DropoutKind.ATTENTION_INPUT` the query's arrow does too, as in the paper's code.
        """
        tokens = self.format.n_tokens(self.examples + 1)
        shape = (self.n_layers, batch, tokens)
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        kept = drawn < self.config.dropout.keep
        query = slice(tokens - len(self.format.roles), tokens)
        if self.config.dropout.loses is not DropoutKind.ATTENTION_INPUT:
            query = [query.start, tokens - 1]
        kept[..., query] = True
        return kept

    def _check(self, inputs: Tensor, start: int, stop: int, kept: Tensor | None) -> None:
        if not 0 <= start <= stop <= self.n_layers:
            raise InputError(
                f"Cannot run from layer {start} to layer {stop}: this model has residual "
                f"boundaries 0..{self.n_layers}, in that order."
            )
        if inputs.shape[-1] != 2 * self.d:
            raise InputError(
                f"The inputs are {inputs.shape[-1]} wide, this model reads 2 x {self.d}: an x half "
                "and a y half. Make them with a ColumnFormat."
            )
        tokens = self.format.n_tokens(self.examples + 1)
        if self.format.ordered and inputs.shape[1] > tokens:
            raise InputError(
                f"The prompt has {inputs.shape[1]} tokens, this model has positions for {tokens}: "
                f"{self.examples} examples and a query, {self.format.name}."
            )
        expected = (self.n_layers, *inputs.shape[:2])
        if kept is not None and kept.shape != expected:
            raise InputError(
                f"The dropout mask has shape {tuple(kept.shape)}, expected {expected}: one row for "
                "each layer and prompt."
            )

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        for parameter in self.parameters():
            values = torch.empty(parameter.shape, device="cpu")
            parameter.copy_(values.normal_(0, self.config.init_std, generator=generator))
