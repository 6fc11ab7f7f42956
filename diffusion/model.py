"""Model of a diffusion run: draws the latents of sentences for clips of features.

Letters: B clips, K latents, E width of a latent, S steps of all streams, W width of the denoiser.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..core.seeds import derive_seed
from ..finetune.streams import StreamRecord, stream_names
from ..training.batches import padded_size
from ..training.config import DecodingConfig
from ..training.model import TranslationModel
from .autoencoder import TextAutoencoder, unit_variance
from .config import DiffusionDecoding
from .denoiser import Denoiser, Fusion
from .noise import add_noise, denoise, make_sampler, signal_shares, without_noise

Condition = tuple[Tensor, Tensor | None]
"""Conditions (B, S, W), and the mask of real steps (B, S) or None."""


class DiffusionModel(TranslationModel):
    """Denoiser and fusion over a frozen text autoencoder.

    Attributes:
        autoencoder: the autoencoder, trained and frozen before the denoiser is trained.
        streams: record of each input stream.
        words: token ids of the pseudo-glosses.
    """

    unit = "tokens"
    shares: Tensor

    def __init__(
        self, autoencoder: TextAutoencoder, *, streams: Sequence[StreamRecord], words: Sequence[int] = ()
    ) -> None:
        """Build denoiser and fusion for streams of features.

        Args:
            autoencoder: the trained autoencoder.
            streams: record of each input stream.
            words: token ids of the pseudo-glosses, which ``denoiser.pseudo_glosses`` needs.

        Raises:
            ConfigError: the package ``diffusers`` is not installed.
        """
        super().__init__()
        self.config = autoencoder.config
        self.autoencoder = autoencoder
        self.language_model, self.codec = autoencoder.language_model, autoencoder.codec
        self.streams, self.words = tuple(streams), list(words)
        config, device = self.config, autoencoder.llm.device
        sizes = [stream.feature_size for stream in streams]
        self.fusion = Fusion(sizes, config=config.denoiser, projector=config.projector, words=words)
        self.fusion.to(device)
        self.denoiser = Denoiser(config.denoiser, config.autoencoder).to(device)
        # Not saved: the schedule is no setting.
        self.register_buffer("shares", signal_shares().to(device), persistent=False)

    @property
    def llm(self) -> Any:
        """The frozen language model."""
        return self.autoencoder.llm

    def forward(
        self, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Return the mean square error of the velocity, summed over clips and divided by a count of clips.

        The loss of the pseudo-glosses is added.

        Args:
            labels: one entry for each clip (B, 1), which the engine counts.
            num_items_in_batch: number of clips of the step. None: the clips of the batch.
            inputs: the rest of a batch from :func:`.batching.collate_clips`.
        """
        latents = self.autoencoder.encode(inputs["sentence_ids"])
        # From torch's global stream, like dropout: checkpoints keep its state, and a resume goes on with it.
        steps = torch.randint(len(self.shares), (len(latents),), device=latents.device)
        noised, velocity = add_noise(latents, torch.randn_like(latents), self._shares_at(steps))
        with self._autocast():
            features, mask, logits = self._fused(inputs)
            condition = self._dropped((features, mask))
            known = self._known(noised, steps, condition)
            found = self.denoiser(noised, known, steps, *condition)
        # A clip counts once, however many latents it has: the engine divides by clips.
        total = (found - velocity).square().mean(dim=(1, 2)).sum()
        if self.fusion.glosses is not None and logits is not None:
            total = total + self.fusion.glosses.loss(logits, inputs["sentence_ids"])
        return {"loss": total / (len(labels) if num_items_in_batch is None else num_items_in_batch)}

    def translate(self, batch: Mapping[str, Any], decoding: DecodingConfig) -> list[str]:
        """Return the sentence of the first draw for each clip."""
        return [found[0]["text"] for found in self.translate_n_best(batch, decoding, count=1)]

    @torch.no_grad()
    def translate_n_best(
        self, batch: Mapping[str, Any], decoding: DecodingConfig, *, count: int
    ) -> list[list[dict[str, Any]]]:
        """Return ``count`` drawn sentences of each clip in the order of the draws, as ``{"text", "score"}``.

        The noise of a draw has the standard deviation ``decoding.noise``, and follows from ``decoding.seed``,
        the id of the clip and the number of the draw. The score is that of :meth:`.TextAutoencoder.decode`.
        The model must be in eval mode.
        """
        assert isinstance(decoding, DiffusionDecoding), "the settings of a diffusion run name a sampler"
        assert not self.training, "dropout would change the sentences"
        # Features are read once for all draws.
        with self._autocast():
            condition = self._condition(batch)
        draws = []
        for number in range(count):
            latents = self.sample(condition, self._noise(batch, decoding, number), decoding)
            draws.append(self.autoencoder.decode(latents, batch["decoder_prefix_ids"], decoding))
        return [list(clip) for clip in zip(*draws, strict=True)]

    @torch.no_grad()
    def sample(self, condition: Condition, noise: Tensor, decoding: DiffusionDecoding) -> Tensor:
        """Return latents (B, K, E) drawn from ``noise`` of the same shape."""
        # A new sampler for each draw, because DPM-Solver keeps earlier predictions.
        sampler = make_sampler(decoding)
        predict = partial(self._predict, condition=condition, guidance=decoding.guidance)
        return denoise(noise, sampler.timesteps.tolist(), sampler=sampler, predict=predict)

    def padded_size(self, batch: Mapping[str, Any]) -> int:
        """Return the number of projected features and latents, padding included."""
        lengths = [batch[steps] for _, steps in self._stream_names()]
        sizes = self.condition_lengths(lengths) + self.config.autoencoder.latents
        return padded_size(range(len(sizes)), sizes.tolist())

    def condition_lengths(self, lengths: Sequence[Tensor]) -> Tensor:
        """Return the conditions of each clip (B,), for the lengths (B,) of each stream."""
        stride = self.config.projector.output_stride
        features = torch.stack([(steps + stride - 1) // stride for steps in lengths]).sum(dim=0)
        return features + (0 if self.fusion.glosses is None else self.fusion.glosses.count)

    def halve(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first and the second half of the clips."""
        half = len(batch["labels"]) // 2
        if half == 0:
            return None
        first = {name: value[:half] for name, value in batch.items()}
        second = {name: value[half:] for name, value in batch.items()}
        # The whole batch did not fit. Without the cut, one long clip would set the size of both halves.
        for part in (first, second):
            for name, steps in self._stream_names():
                part[name] = part[name][:, : int(part[steps].max())]
        return first, second

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trained parameters, with a rate of their own for the projectors."""
        # As in stage two, projectors may need a larger rate than the layers behind them.
        projectors = list(self.fusion.projectors.parameters())
        own = set(map(id, projectors))
        rest = [parameter for parameter in self.fusion.parameters() if id(parameter) not in own]
        return [
            {"name": "denoiser", "params": list(self.denoiser.parameters())},
            {"name": "fusion", "params": rest},
            {"name": "projector", "params": projectors, "lr": self.config.projector.learning_rate},
        ]

    def train(self, mode: bool = True) -> Self:
        """Set train or eval mode. The autoencoder stays in eval mode."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def checkpoint_state(self) -> dict[str, Tensor]:
        """Return the tensors of denoiser and fusion."""
        return {name: tensor.detach() for name, tensor in self.trained.state_dict(keep_vars=True).items()}

    @property
    def trained(self) -> nn.ModuleDict:
        """Denoiser and fusion."""
        return nn.ModuleDict({"denoiser": self.denoiser, "fusion": self.fusion})

    @property
    def num_trained(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.trained.parameters())

    def _predict(
        self, noised: Tensor, step: int, known: Tensor, *, condition: Condition, guidance: float
    ) -> Tensor:
        """Return the prediction of the latents without noise, with guidance."""
        steps = torch.full((len(noised),), step, device=noised.device)
        run = partial(self.denoiser, noised, known, steps)
        with self._autocast():
            # Without features no clip can matter, and with guidance 1 no pass without features is needed.
            velocity = run(*self._nothing(len(noised))) if guidance != 1 else run(*condition)
            if guidance not in (0, 1):
                velocity = velocity + guidance * (run(*condition) - velocity)
        # The latents of sentences have unit variance, and so have predictions.
        return unit_variance(without_noise(noised, velocity, self._shares_at(steps)))

    def _known(self, noised: Tensor, steps: Tensor, condition: Condition) -> Tensor:
        """Return an earlier prediction for a share of the batches, else zeros."""
        # For whole batches: a second pass for a part of the rows would take as long.
        if torch.rand(()) >= self.config.denoiser.self_condition:
            return torch.zeros_like(noised)
        # Without a gradient, as in the source: the earlier prediction is an input like others.
        with torch.no_grad():
            velocity = self.denoiser(noised, torch.zeros_like(noised), steps, *condition)
        return unit_variance(without_noise(noised, velocity, self._shares_at(steps)))

    def _condition(self, inputs: Mapping[str, Tensor]) -> Condition:
        return self._fused(inputs)[:2]

    def _fused(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return what :class:`.Fusion` makes of the features of a batch, and of nothing else."""
        names = self._stream_names()
        return self.fusion([inputs[name] for name, _ in names], [inputs[steps] for _, steps in names])

    def _dropped(self, condition: Condition) -> Condition:
        """Replace the features of a share of the clips in training."""
        features, mask = condition
        share = self.config.denoiser.condition_dropout if self.training else 0.0
        is_dropped = torch.rand(len(features), device=features.device) < share
        # Not by leaving clips out: every weight needs a gradient in every batch of every process.
        return torch.where(is_dropped[:, None, None], self.fusion.nothing, features), mask

    def _nothing(self, clips: int) -> Condition:
        # One step is enough: attention over equal steps gives the value of one.
        return self.fusion.nothing.expand(clips, 1, -1), None

    def _noise(self, batch: Mapping[str, Tensor], decoding: DiffusionDecoding, number: int) -> Tensor:
        """Return the noise (B, K, E) of a draw. A clip has the same noise in every batch."""
        shape = (self.config.autoencoder.latents, self.config.autoencoder.latent_size)
        seeds = [derive_seed(decoding.seed, clip, number) for clip in batch["noise_seeds"].tolist()]
        # On the CPU, whose generator gives the same numbers on every machine.
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        # Draws of stronger noise than in training end further apart.
        return decoding.noise * torch.stack(rows).to(self.llm.device)

    def _shares_at(self, steps: Tensor) -> Tensor:
        return self.shares[steps][:, None, None]

    def _stream_names(self) -> list[tuple[str, str]]:
        return [stream_names(number) for number in range(len(self.streams))]

    def _autocast(self) -> torch.autocast:
        return self.language_model.autocast(self.config.training.precision)
