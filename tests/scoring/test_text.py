"""What is done to text, each step by hand: the sentence, and the sentence as it is scored."""

import pytest

from fla_llm.scoring import find_protocol


@pytest.mark.parametrize(
    ("protocol", "language", "raw", "hypothesis", "reference"),
    [
        ("sacrebleu", "de", "Am Tag  Regen .", "Am Tag  Regen .", "Am Tag  Regen ."),
        ("signjoey", "de", "am tag regen .", "am tag regen .", "am tag regen ."),
        # one final stop goes, and only one that is a word; a stop elsewhere stays
        ("gfslt", "de", "am tag regen .", "am tag regen", "am tag regen"),
        ("gfslt", "de", "am tag . regen . .", "am tag . regen .", "am tag . regen ."),
        ("gfslt", "de", "am tag regen.", "am tag regen.", "am tag regen."),
        ("gfslt", "en", "rain .", "rain .", "rain ."),
        # a stop comes where none is, once; a glued one is none
        ("sltbaselines", "de", "am tag regen", "am tag regen .", "am tag regen ."),
        ("sltbaselines", "de", "am tag regen .", "am tag regen .", "am tag regen ."),
        ("sltbaselines", "de", "am tag regen.", "am tag regen. .", "am tag regen. ."),
        ("sltbaselines", "en", "rain", "rain", "rain"),
        # characters are spaced where there is no space yet, and text with spaces stays as it is
        ("sltbaselines", "zh", "他几岁?", "他 几 岁 ?", "他 几 岁 ?"),
        ("sltbaselines", "zh", "他 几  岁?", "他 几  岁?", "他 几  岁?"),
        ("sltbaselines-sacrebleu", "zh", "他几岁?", "他 几 岁 ?", "他 几 岁 ?"),
        # spaces go and come anew; the reference's comma and question mark become half width, not its stop
        ("uni-sign", "zh", "他 几岁？", "他 几 岁 ？", "他 几 岁 ?"),
        ("uni-sign", "zh", "今天，雨。", "今 天 ， 雨 。", "今 天 , 雨 。"),
        ("uni-sign", "en", "He said, Hello", "He said, Hello", "He said, Hello"),
        # lower case on both sides; German references get a stop glued on
        ("spamo", "de", "Am Tag Regen", "am tag regen", "am tag regen."),
        ("spamo", "de", "am tag regen .", "am tag regen .", "am tag regen ."),
        ("spamo", "en", "He said", "he said", "he said"),
        ("ssvp", "en", "He said.", "He said.", "He said."),
        ("beyond-bleu", "de", "Am Tag Regen", "Am Tag Regen", "Am Tag Regen"),
        # an empty hypothesis stays empty
        ("sltbaselines", "de", "", "", ""),
        ("spamo", "de", " ", " ", " "),
        ("gfslt", "de-AT", "am tag .", "am tag", "am tag"),
    ],
)
def test_what_is_scored(protocol: str, language: str, raw: str, hypothesis: str, reference: str) -> None:
    rules = find_protocol(protocol)
    assert rules.prepare_hypothesis(raw, language) == hypothesis
    assert rules.prepare_reference(raw, language) == reference
