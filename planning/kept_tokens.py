"""How many tokens a trimmed vocabulary will have, told before the model is loaded."""

from pathlib import Path

from transformers import AutoTokenizer, PretrainedConfig

from ..core.hub import find_source, load_pretrained
from ..finetune.config import TuneConfig
from ..finetune.data import FeatureItems
from ..llm.text_codec import draw_examples
from ..llm.vocabulary import needed_ids


def count_kept(
    train: FeatureItems, *, llm: str, model_config: PretrainedConfig, config: TuneConfig
) -> int | None:
    """Return how many tokens ``fla tune`` would keep for these clips.

    None where the vocabulary is not trimmed, or ``llm`` is a bare ``config.json``, which has no tokenizer.

    Raises:
        ModelError: there is no tokenizer where the config is.
    """
    if not config.trim_vocab or Path(llm).is_file():
        return None
    tokenizer = load_pretrained(AutoTokenizer.from_pretrained, find_source(llm))
    texts, languages = train.texts, train.languages
    examples = draw_examples(texts, languages, count=config.examples, seed=config.seed)
    kept = needed_ids(
        tokenizer,
        model_config,
        prompt=config.prompt,
        prompts=config.prompt_by_language,
        texts=texts,
        languages=languages,
        examples=examples,
    )
    return len(kept)
