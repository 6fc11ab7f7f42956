"""Settings of an import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..core.errors import ConfigError
from ..core.sample import SPLITS, Sample
from ..core.text import find_unstorable

Format = Literal["npy", "pt", "safetensors", "signjoey", "mmslt"]
FORMATS: tuple[Format, ...] = ("npy", "pt", "safetensors", "signjoey", "mmslt")


class Sentences(Protocol):
    """Sentences of a corpus, for files without sentences. A manifest has all of these members."""

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        ...

    @property
    def samples(self) -> Sequence[Sample]:
        """All sentences, in order."""
        ...

    def split(self, name: str) -> Sequence[Sample]:
        """Return the sentences of a split, in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Description of features of other code, as far as the files lack a description."""

    format: Format
    """``npy`` or ``pt``: a folder with one file for each clip. ``signjoey``: a gzipped pickle of a split.
    ``mmslt``: a file of a split with descriptions and their vectors, as published with MMSLT.
    ``npy`` or ``safetensors``: a folder that ``fla cache export`` wrote.
    """
    encoder: str | None = None
    """Your name for the origin of the features. Splits with the same name belong together. Needed for all
    sources but an export, whose ``export.json`` describes the encoder.
    """
    split: str | None = None
    """``signjoey`` and ``mmslt``: the split of the file. Other formats: the only split to import, or None for
    all."""
    language: str | None = None
    """``signjoey``: ISO 639-1 code of the sentences. Other formats: in the manifest."""
    corpus: str | None = None
    """``signjoey``: name of the corpus. Other formats: in the manifest."""
    suffix: str = ""
    """``npy`` and ``pt``: end of the file names behind the id, such as ``_s2wrapping``."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"--format must be one of {', '.join(FORMATS)}, but is {self.format!r}.")
        # An empty name would join unrelated features under one fingerprint.
        if self.encoder is not None and not self.encoder.strip():
            raise ConfigError(
                f"--encoder must be a name for what made the features, but is {self.encoder!r}."
            )
        options = {"--encoder": self.encoder, "--language": self.language, "--corpus": self.corpus}
        for option, value in options.items():
            if found := find_unstorable(value or ""):
                raise ConfigError(f"{option} must be without {found}, but is {value!r}.")
        if self.split is not None and self.split not in SPLITS:
            raise ConfigError(f"--split must be one of {', '.join(SPLITS)}, but is {self.split!r}.")
        if self.format == "mmslt" and (self.split is None or self.suffix):
            fault = "--split must be given" if self.split is None else "--suffix must not be given"
            raise ConfigError(f"{fault} for a file of mmslt, which holds one split by the names of clips.")
        only_signjoey = {"--language": self.language, "--corpus": self.corpus}
        # The other formats take these values from the manifest, and two sources could disagree.
        if self.format == "signjoey":
            needed = {"--encoder": self.encoder, "--split": self.split, **only_signjoey}
            for option, value in needed.items():
                if not value:
                    raise ConfigError(f"{option} must be given for a signjoey file, which does not say it.")
            if self.suffix:
                raise ConfigError(
                    f"--suffix is for folders of files, but is {self.suffix!r} for a signjoey file."
                )
        for option, value in only_signjoey.items():
            if value and self.format != "signjoey":
                raise ConfigError(
                    f"{option} is for signjoey files, but is {value!r}: the manifest says it here."
                )
