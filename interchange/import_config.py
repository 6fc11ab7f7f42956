"""What an import needs to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..core.errors import ConfigError
from ..core.sample import SPLITS, Sample
from ..core.text import find_unstorable

Format = Literal["npy", "pt", "safetensors", "signjoey"]
FORMATS: tuple[Format, ...] = ("npy", "pt", "safetensors", "signjoey")


class Sentences(Protocol):
    """Sentences of a corpus, for files that hold features alone. A manifest has all of this."""

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
    """What features of other code are, as far as their files do not say it."""

    format: Format
    """``npy`` or ``pt``: a folder of files, one a clip. ``signjoey``: a gzipped pickle of a split.
    ``npy`` or ``safetensors``: a folder that ``fla cache export`` wrote."""
    encoder: str | None = None
    """Your name for the origin of the features: splits imported under one name belong together. Needed for
    all sources but an export, whose ``export.json`` describes the encoder."""
    split: str | None = None
    """``signjoey``: the split it holds. Else the only one to import; None: all of the manifest."""
    language: str | None = None
    """``signjoey``: ISO 639-1 code of the sentences. Else the manifest says it."""
    corpus: str | None = None
    """``signjoey``: the corpus's name. Else the manifest says it."""
    suffix: str = ""
    """``npy`` and ``pt``: what stands in the files' names behind the id, such as ``_s2wrapping``."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"--format must be one of {', '.join(FORMATS)}, but is {self.format!r}.")
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
        only_signjoey = {"--language": self.language, "--corpus": self.corpus}
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
