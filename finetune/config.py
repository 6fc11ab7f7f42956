"""Settings of stage two. Presets lie in configs/."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..core.errors import ConfigError, did_you_mean
from ..core.sample import DEFAULT_TASK, TASKS
from ..llm.config import LoraSettings, PromptPlace, Quantise
from ..llm.prompt import Prompts, check_prompt
from ..training.config import DecodingConfig, TrainingConfig

Train = Literal["lora+projector", "lora", "projector", "full"]
ADAPTER_STRIDE = 4
"""Steps that the module adapter of MMSLT makes one: two poolings of two steps."""
MOST_PASSES = 100
_PROMPTED = tuple(task for task in TASKS if task != DEFAULT_TASK)
"""Tasks with prompts in ``prompt_by_task``. Translations have ``prompt``."""


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """Settings of the projector from features to word embeddings."""

    kind: Literal["linear", "mlp", "conv", "adapter", "poses"] = "mlp"
    """``mlp`` has a hidden layer, like LLM-Adapter in the paper. ``conv`` adds neighbours in time.
    ``adapter`` is the module adapter of MMSLT, which makes four steps one. ``poses`` is the graph network of
    Uni-Sign over normalised key points (``fla extract --encoder poses``)."""
    hidden_size: int = 1024
    """Width of the hidden layer. ``linear`` and ``poses`` have no hidden layer."""
    kernel: int = 5
    """Kernel size of ``conv`` and ``adapter`` in feature steps, an odd number."""
    stride: int = 2
    """Stride of ``conv`` in feature steps. A larger stride shortens the sequence for the language model."""
    width: int = 256
    """Channels of a part in the graph network of ``poses``, a multiple of 4. 256 as in Uni-Sign."""
    norm: bool = True
    """End with a LayerNorm, scaled to the magnitude of word embeddings. Uni-Sign has none."""
    learning_rate: float = 1e-3
    """Learning rate of the projector, which starts from random weights. 1e-3 as in the paper, section 4.2."""

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ConfigError(f"'projector.hidden_size' must be at least 1, but is {self.hidden_size}.")
        if self.learning_rate <= 0:
            raise ConfigError(f"'projector.learning_rate' must be above 0, but is {self.learning_rate}.")
        # An even kernel has no middle step, and would shift the features by half a step.
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"'projector.kernel' must be odd and above 0, but is {self.kernel}.")
        if not 1 <= self.stride <= self.kernel:
            raise ConfigError(
                f"'projector.stride' must be in 1..{self.kernel} (the kernel), but is {self.stride}: "
                "it would pass steps over."
            )
        if self.width < 4 or self.width % 4:
            raise ConfigError(f"'projector.width' must be a multiple of 4, but is {self.width}.")

    @property
    def output_stride(self) -> int:
        """Feature steps that become one position of the language model."""
        return {"conv": self.stride, "adapter": ADAPTER_STRIDE}.get(self.kind, 1)


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """Contrastive loss: pull a clip towards its own sentence, and away from other sentences."""

    weight: float = 0.0
    """Factor on the contrastive loss. 0 turns the loss off."""
    temperature: float = 0.07
    """Divisor of the cosines. 0.07 is the initial value of CLIP."""
    at: Literal["embeddings", "encoder"] = "embeddings"
    """Compared vectors, means over a clip and a sentence: projected features and word embeddings, or outputs
    of the encoder of an encoder-decoder model. The encoder reads sentences without adapters, as in MMSLT."""
    translation_weight: float = 1.0
    """Factor on the translation loss beside the contrastive loss. 0: contrast alone, as in the first stage of
    MMSLT. The decoder then does not run in training."""

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ConfigError(f"'contrastive.weight' must be at least 0, but is {self.weight}.")
        if self.temperature <= 0:
            raise ConfigError(f"'contrastive.temperature' must be above 0, but is {self.temperature}.")
        if self.translation_weight < 0:
            raise ConfigError(
                f"'contrastive.translation_weight' must be at least 0, but is {self.translation_weight}."
            )
        if self.translation_weight == 0 == self.weight:
            raise ConfigError(
                "'contrastive.translation_weight' must be above 0 where 'contrastive.weight' is 0, but both "
                "are 0: no loss is left.\nSet contrastive.weight=1."
            )


@dataclass(frozen=True, kw_only=True)
class FeatureTraining(TrainingConfig):
    """Training settings of a run on cached features."""

    batch_tokens: int
    """Largest number of language model positions in a batch, padding included: projected features, prompt and
    sentence. An encoder-decoder pads encoder and decoder separately."""
    at_least_one = (*TrainingConfig.at_least_one, "batch_tokens")


@dataclass(frozen=True, kw_only=True)
class TuneTraining(FeatureTraining):
    """Training settings of stage two."""

    passes_by_task: dict[str, float] = field(default_factory=dict)
    """Passes over the clips of a task in an epoch, for training on several tasks. ``{isolated: 0.5}`` shows
    half of the single signs. A task without an entry has one pass."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_tasks("training.passes_by_task", self.passes_by_task, known=TASKS)
        for task, passes in self.passes_by_task.items():
            # Each pass is a list of places: no bound would let a typing error fill the memory.
            if not 0 < passes <= MOST_PASSES:
                raise ConfigError(
                    f"'training.passes_by_task.{task}' must be above 0 and at most {MOST_PASSES}, but is "
                    f"{passes}."
                )


class FeatureRunConfig(Protocol):
    """Settings that all runs on cached features have, whatever their decoder."""

    @property
    def training(self) -> FeatureTraining:
        """Settings of the training on clips."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the run."""
        ...


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """Settings of ``fla tune``."""

    quantise: Quantise = "nf4"
    """Format of the frozen linear layers: 4-bit NormalFloat, 8-bit, or the format of the computation."""
    train: Train = "lora+projector"
    """Trained weights. ``full`` trains every weight and the projector in fp32, without quantisation."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    projector_by_stream: dict[str, ProjectorConfig] = field(default_factory=dict)
    """Projectors of single streams, by the number of ``--features`` (``"2"``), in place of ``projector``."""
    fuse: Literal["time", "channels", "gate"] = "time"
    """Join of several streams: one behind the other in ``time``, or step by step, where all streams of a clip
    must have the same steps. ``channels`` joins the features, as in MMSLT. ``gate`` begins with the first
    stream alone, and learns how much of the others to add."""
    prompt: str | None = None
    """Text beside the features. ``{language}`` is the language name. None: the default. ``""``: no text."""
    prompt_place: PromptPlace = "after"
    """Place of the prompt: ``after`` the features, or ``before``, as in Uni-Sign."""
    prompt_by_language: dict[str, str] = field(default_factory=dict)
    """Prompts of single languages, by code (``de``), in place of ``prompt``."""
    prompt_by_task: dict[str, str] = field(default_factory=dict)
    """Prompts of the tasks ``recognise`` and ``isolated``, which do not take ``prompt``. A task without an
    entry has a default."""
    examples: int = 0
    """Number of training sentences before the prompt, the same for all clips of a language and task."""
    trim_vocab: bool = False
    """Keep only the tokens of the training sentences and prompts, as in the paper."""
    allow_lossy_tokenizer: bool = False
    """Tune even if the tokenizer changes more than 1 % of the training sentences."""
    label_smoothing: float = 0.1
    """Share of the target spread over the vocabulary. The paper uses 0.2, for full tuning."""
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    activation_checkpointing: bool = True
    """Recompute activations in the backward pass: less memory, about a third more time."""
    training: TuneTraining = field(
        default_factory=lambda: TuneTraining(
            epochs=30, batch_clips=16, batch_tokens=5120, learning_rate=2e-4,
            weight_decay=0.01, warmup_share=0.05, schedule="cosine", optimiser="adamw",
        )
    )  # fmt: skip
    """``learning_rate`` is the rate of the language model: of LoRA, or of all weights."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    seed: int = 42
    """Seed of new weights, dropout, views and the order of batches."""

    def __post_init__(self) -> None:
        for prompt in (self.prompt, *self.prompt_by_language.values(), *self.prompt_by_task.values()):
            check_prompt(prompt)
        _check_tasks("prompt_by_task", self.prompt_by_task, known=_PROMPTED)
        for number in self.projector_by_stream:
            if not number.isdecimal() or int(number) < 1 or number != str(int(number)):
                raise ConfigError(
                    "'projector_by_stream' must have numbers of streams, from 1, as keys, but has "
                    f"{number!r}."
                )
        if self.fuse == "channels" and self.projector_by_stream:
            raise ConfigError(
                "'projector_by_stream' must be empty where 'fuse' is channels, but is not: joined streams "
                "have one projector.\nSet projector, or fuse=time."
            )
        if self.decoding.temperature:
            raise ConfigError(
                f"'decoding.temperature' must be 0 in a run, but is {self.decoding.temperature}: chance "
                "would choose the checkpoint.\nDraw sentences with fla evaluate --temperature."
            )
        if self.contrastive.at == "encoder" and self.train == "full":
            raise ConfigError(
                "'contrastive.at' must be embeddings where 'train' is full, but is encoder: sentences need "
                "an encoder that is not trained.\nSet train=lora+projector, or contrastive.at=embeddings."
            )
        self._check_all_trained()
        if self.examples < 0:
            raise ConfigError(f"'examples' must be at least 0, but is {self.examples}.")
        if self.train == "full" and self.quantise != "none":
            raise ConfigError(
                f"'quantise' must be none where 'train' is full, but is {self.quantise}: weights in few bits "
                "cannot be trained.\nSet quantise=none, or train=lora+projector."
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"'label_smoothing' must be in 0..1, but is {self.label_smoothing}.")

    def _check_all_trained(self) -> None:
        """Refuse weights that a contrast alone would train without any gradient."""
        if self.contrastive.translation_weight > 0 or self.train == "projector":
            return
        if self.contrastive.at == "embeddings" or self.lora.part != "encoder":
            raise ConfigError(
                "'contrastive.translation_weight' must be above 0 where weights behind the compared vectors "
                f"are trained, but is 0 with train={self.train}, contrastive.at={self.contrastive.at} and "
                f"lora.part={self.lora.part}.\n"
                "Set train=projector, or contrastive.at=encoder with lora.part=encoder."
            )

    @property
    def prompts(self) -> Prompts:
        """Templates of the prompts."""
        return Prompts(default=self.prompt, by_language=self.prompt_by_language, by_task=self.prompt_by_task)

    def projector_of(self, stream: int) -> ProjectorConfig:
        """Return the settings of the projector of a stream, counted from 0."""
        return self.projector_by_stream.get(str(stream + 1), self.projector)


def _check_tasks(setting: str, given: Mapping[str, object], *, known: Sequence[str]) -> None:
    """Refuse keys that are no tasks."""
    for task in given:
        if task not in known:
            raise ConfigError(
                f"{setting!r} must have tasks of {', '.join(known)} as keys, but has {task!r}."
                f"{did_you_mean(task, list(known))}"
            )
