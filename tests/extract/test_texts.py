"""``--encoder hf-text``: descriptions of frames become a stream of vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fla_llm.cache.reader import FeatureCache
from fla_llm.cli import fla
from fla_llm.core.errors import ConfigError, DataError
from fla_llm.corpora.descriptions import description_path, write_descriptions
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.encoder.hf_text import PADDING, hf_text_encoder
from fla_llm.video.sampling import FrameSampling

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "hand", "up", "down", "left", "right", "face", "flat", "fist")
STRIDE = 2


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)}).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(
            BertConfig(
                vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=32, max_position_embeddings=12,
            )
        ).save_pretrained(folder)  # fmt: skip
    return folder


def text_of(id: str, frame: int) -> str:
    """Texts of different lengths, so that batches have padding."""
    return " ".join(WORDS[4 + (frame + len(id) + word) % 8] for word in range(1 + frame % 5))


def describe(
    manifest: Manifest, folder: Path, *, left_out: tuple[str, ...] = (), stride: int = STRIDE
) -> Path:
    for split in ("train", "dev"):
        samples = [sample for sample in manifest.split(split) if sample.id not in left_out]
        entries = [
            {"id": sample.id, "frame": frame, "text": text_of(sample.id, frame)}
            for sample in samples
            for frame in range(0, sample.num_frames, stride)
        ]
        header = {
            "corpus": manifest.corpus, "split": split, "model": "vlm", "revision": "abc", "prompt": "What?",
            "settings": {"frame_stride": stride},
        }  # fmt: skip
        write_descriptions(description_path(folder, split, 0, 1), header, entries)
    return folder


@pytest.fixture
def run(manifest: Manifest, bert: Path, tmp_path: Path) -> Callable[..., Any]:
    write_manifest(tmp_path / "manifest.jsonl", manifest)

    def extract(descriptions: Path, *options: str, out: str = "cache", settings: tuple[str, ...] = ()) -> Any:
        given = ["extract", "--manifest", tmp_path / "manifest.jsonl", "--encoder", f"hf-text:{bert}"]
        given += ["--descriptions", descriptions, "--out", tmp_path / out, "--device", "cpu"]
        chosen = [w for s in ("workers=0", "precision=fp32", *settings) for w in ("--set", s)]
        return CliRunner().invoke(fla, [*map(str, given), *chosen, *options], catch_exceptions=False)

    return extract


def encoded_alone(bert: Path, texts: list[str], *, pool: str = "cls") -> np.ndarray:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        rows.append((hidden[0] if pool == "cls" else hidden.mean(dim=0)).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_each_described_frame_becomes_its_vector(
    run: Callable[..., Any], manifest: Manifest, bert: Path, tmp_path: Path, pool: str
) -> None:
    done = run(describe(manifest, tmp_path / "texts"), settings=(f"hf_text.pool={pool}", "frame_batch=3"))
    assert done.exit_code == 0
    cache = FeatureCache(tmp_path / "cache", "train")
    assert [row.id for row in cache.rows] == [sample.id for sample in manifest.split("train")]
    sample = manifest.split("train")[0]
    texts = [text_of(sample.id, frame) for frame in range(0, sample.num_frames, STRIDE)]
    np.testing.assert_allclose(cache[0], encoded_alone(bert, texts, pool=pool), rtol=0.01, atol=0.01)
    made = cache.provenance.preprocessing
    assert made["descriptions"]["prompt"] == "What?"
    assert made["sampling"]["stride"] == STRIDE
    assert cache.provenance.step_seconds == STRIDE / 25


def test_descriptions_are_thinned_as_frames_are(
    run: Callable[..., Any], manifest: Manifest, tmp_path: Path
) -> None:
    """The steps are those of an encoder of pictures with the same stride and largest number of frames."""
    texts = describe(manifest, tmp_path / "texts", stride=1)
    run(texts, "--split", "train", settings=("hf_text.frame_stride=4", "hf_text.max_frames=3"))
    cache = FeatureCache(tmp_path / "cache")
    assert cache.num_steps.tolist() == [3, 1, 3, 1, 2, 3]
    sparse_texts = describe(manifest, tmp_path / "sparse_texts", stride=4)
    run(sparse_texts, "--split", "train", out="sparse", settings=("hf_text.max_frames=3",))
    sparse = FeatureCache(tmp_path / "sparse")
    assert all((cache[row] == sparse[row]).all() for row in range(len(cache)))
    with pytest.raises(ConfigError, match="multiple of 4, the stride of the frames described in .* but is 6"):
        run(sparse_texts, settings=("hf_text.frame_stride=6",))


def test_a_clip_without_description_is_rejected_by_name(
    run: Callable[..., Any], manifest: Manifest, tmp_path: Path
) -> None:
    done = run(describe(manifest, tmp_path / "texts", left_out=("train/2",)))
    assert done.exit_code == 1
    assert "train clip 'train/2' is not described in" in done.stdout
    assert FeatureCache(tmp_path / "cache", "train").rejected == [("train/2", 0)]


def test_descriptions_of_another_corpus_or_none_are_refused(
    run: Callable[..., Any], manifest: Manifest, bert: Path, tmp_path: Path
) -> None:
    ids = tuple(sample.id for sample in manifest.samples)
    with pytest.raises(DataError, match="'train/0' is not described in"):
        run(describe(manifest, tmp_path / "others", left_out=ids))
    with pytest.raises(DataError, match="holds none"):
        run(tmp_path)
    with pytest.raises(ConfigError, match="--descriptions DIR must be given for --encoder hf-text:NAME"):
        CliRunner().invoke(
            fla,
            [
                "extract",
                "--manifest",
                str(tmp_path / "manifest.jsonl"),
                "--encoder",
                f"hf-text:{bert}",
                "--out",
                "x",
            ],
            catch_exceptions=False,
        )
    with pytest.raises(ConfigError, match="views must be 0 for an encoder of descriptions, but is 2"):
        run(describe(manifest, tmp_path / "texts"), "--views", "2")


def test_padding_changes_nothing_and_long_texts_are_cut(bert: Path) -> None:
    encoder = hf_text_encoder(str(bert), pool="mean", sampling=FrameSampling())
    short, long = "hand up", "hand " * 40
    ids = encoder.tokens([short, long])
    assert ids.shape == (2, 12)
    assert (ids[0, 4:] == PADDING).all()
    both, alone = (encoder.unit_features(torch.from_numpy(x)) for x in (ids, encoder.tokens([short])))
    torch.testing.assert_close(both[:1], alone)
