"""``fla describe`` over tiny clips, with a tiny LLaVA of random weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fla_llm.core.errors import CacheError, DataError, ModelError
from fla_llm.corpora.descriptions import Descriptions, read_description_file
from fla_llm.corpora.manifest import Manifest
from fla_llm.describe.config import MMSLT_PROMPT, DescribeConfig
from fla_llm.describe.describer import Describer
from fla_llm.describe.plan import Description
from fla_llm.describe.work import describe as run_description
from fla_llm.video.pictures import read_pictures
from fla_llm.video.sampling import FrameSampling

Run = Callable[..., Any]
CPU = torch.device("cpu")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_frame_of_every_clip_has_a_line_and_the_header_says_how(
    described: tuple[Path, Any], manifest: Manifest
) -> None:
    folder, done = described
    assert (done.exit_code, done.result["rejected"]) == (0, [])
    texts = set()
    for split in ("train", "dev"):
        header, *rows = lines(folder / f"{split}-0-of-1.jsonl")
        samples = manifest.split(split)
        frames = [(sample.id, frame) for sample in samples for frame in range(sample.num_frames)]
        assert [(row["id"], row["frame"]) for row in rows] == frames
        assert header["counts"] == {"clips": len(samples), "frames": len(rows), "rejected": 0}
        assert header["prompt"] == MMSLT_PROMPT
        assert (header["settings"]["batch"], header["settings"]["frame_stride"]) == (2, 1)
        assert len(header["revision"]) == 64
        texts |= {row["text"] for row in rows}
    # Texts follow the pictures: a describer that ignored the pictures would say the same of each.
    assert len(texts) > 2
    assert "frames x" in done.log


def test_texts_are_those_of_the_model_asked_about_one_picture(
    described: tuple[Path, Any], manifest: Manifest, vlm: Path
) -> None:
    config = DescribeConfig(frame_stride=1, max_tokens=3, precision="fp32")
    describer, sample = Describer(str(vlm), config=config, device=CPU), manifest.split("dev")[0]
    pictures = read_pictures(manifest.clip(sample), sampling=config.sampling, longest_side=512)
    assert pictures[0].shape == (18, 24, 3)
    alone = {frame: describer([picture])[0] for frame, picture in pictures.items()}
    assert Descriptions(described[0]).read("dev", sample.id) == alone


def test_shards_describe_what_one_file_describes(
    described: tuple[Path, Any], describe: Run, tmp_path: Path
) -> None:
    describe("--shards", "2", "--split", "train", out=tmp_path / "two")
    whole, two = Descriptions(described[0], ["train"]), Descriptions(tmp_path / "two")
    assert len(two.files) == 2
    assert {key: whole.read(*key) for key in whole.clips} == {key: two.read(*key) for key in two.clips}


def test_a_second_run_describes_nothing_and_other_settings_are_refused(
    described: tuple[Path, Any], describe: Run
) -> None:
    assert describe(out=described[0]).result["clips"] == 0
    with pytest.raises(
        CacheError, match=r"finished, but not the same: settings.max_tokens is 3 .* would be 5"
    ):
        describe(out=described[0], settings=("max_tokens=5",))
    with pytest.raises(CacheError, match="prompt is"):
        describe("--prompt", "What: do the hands do?", out=described[0])


def test_an_unreadable_clip_is_counted_listed_and_left_out(
    manifest: Manifest, vlm: Path, videos: Path, tmp_path: Path
) -> None:
    shutil.copytree(videos, tmp_path / "videos")
    (tmp_path / "videos" / "train1" / "images0003.png").write_bytes(b"no picture")
    description = Description(
        manifest=replace(manifest, root=tmp_path / "videos"), model=str(vlm), out=tmp_path / "out",
        splits=("train",), shards=((0, 1),), device=CPU,
        config=DescribeConfig(frame_stride=1, batch=2, max_tokens=1, precision="fp32", threads=1),
    )  # fmt: skip
    result = run_description(description)
    assert [(row.id, "images0003.png" in row.reason) for row in result.rejected] == [("train/1", True)]
    file = read_description_file(tmp_path / "out" / "train-0-of-1.jsonl")
    assert file.header["counts"] == {"clips": 2, "frames": 5, "rejected": 1}
    assert file.rejected == ["train/1"]
    assert str(tmp_path) not in file.path.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="'train/1' could not be read"):
        Descriptions(tmp_path / "out").read("train", "train/1")


def test_a_file_of_unreadable_clips_alone_is_finished_and_lists_them(
    manifest: Manifest, describe: Run, videos: Path, tmp_path: Path
) -> None:
    """No frame can be measured for the estimate, which must not keep the file from being written."""
    shutil.copytree(videos, tmp_path / "videos")
    dev = [sample.video for sample in manifest.split("dev")]
    for picture in (file for video in dev for file in (tmp_path / "videos" / video).iterdir()):
        picture.write_bytes(b"no picture")
    done = describe("--split", "dev", "--root", str(tmp_path / "videos"))
    assert (done.exit_code, len(done.result["rejected"])) == (1, len(dev))
    file = read_description_file(tmp_path / "descriptions" / "dev-0-of-1.jsonl")
    assert file.header["counts"] == {"clips": 0, "frames": 0, "rejected": len(dev)}
    (tmp_path / "descriptions" / "dev-0-of-1.jsonl").unlink()
    with pytest.raises(DataError, match="none is: .*images0000.png"):
        describe("--split", "dev", "--root", str(tmp_path / "videos"), "--dry-run")


def test_nothing_is_left_to_cost_when_all_is_described(described: tuple[Path, Any], describe: Run) -> None:
    assert describe("--dry-run", out=described[0]).result == {"frames": 0}


def test_a_trial_is_named_and_a_dry_run_estimates_without_writing(describe: Run, tmp_path: Path) -> None:
    out = tmp_path / "descriptions"
    cost = describe("--dry-run", settings=("max_tokens=1",)).result
    assert cost["frames"] == 12
    assert cost["seconds"] == pytest.approx(12 * cost["seconds_per_frame"])
    assert not out.exists()
    assert describe("--limit", "1").result["limit"] == 1
    assert Descriptions(out).header["limit"] == 1
    with pytest.raises(DataError, match=r"'train/1' is not described .*a trial of 1 clips"):
        Descriptions(out).read("train", "train/1")
    with pytest.raises(CacheError, match="limit is 1 there"):
        describe()


def test_descriptions_are_shown_beside_frames_times_and_pictures(
    described: tuple[Path, Any], describe: Run, tmp_path: Path
) -> None:
    folder, page = described[0], tmp_path / "page.html"
    shown = describe("--show", "train/0", "--page", str(page), out=folder).result
    texts = Descriptions(folder).read("train", "train/0")
    assert {row["frame"]: row["text"] for row in shown["frames"]} == texts
    assert [row["seconds"] for row in shown["frames"]] == [0, 0.04, 0.08]
    written = page.read_text(encoding="utf-8")
    assert written.count("data:image/jpeg;base64,") == 3
    assert all(text in written for text in texts.values())
    with pytest.raises(DataError, match="'dev/9', but does not. Did you mean 'dev/"):
        describe("--show", "dev/9", out=folder)


def test_a_captioner_without_chat_format_answers_with_new_words_alone(tmp_path: Path) -> None:
    """BLIP takes the prompt as the beginning of the caption, and returns it without its last token."""
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(30))]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    pictures = BlipImageProcessor(size={"height": 16, "width": 16})
    BlipProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(tmp_path)
    shape = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 32, "encoder_hidden_size": 16, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "max_position_embeddings": 64, **shape,
        },
        vision_config={"hidden_size": 16, "image_size": 16, "patch_size": 8, **shape},
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    own = DescribeConfig(prompt="w1 w2 w3", max_tokens=4, precision="fp32")
    describer = Describer(str(tmp_path), config=own, device=CPU)
    picture = np.zeros((18, 24, 3), np.uint8)
    inputs = describer._inputs([Image.fromarray(picture)])
    whole = describer._model.generate(**inputs, generation_config=describer._generation)[0].tolist()
    assert whole[:4] == tokenizer("w1 w2 w3")["input_ids"][:4]
    assert describer([picture]) == [tokenizer.decode(whole[4:], skip_special_tokens=True)]
    assert describer([picture, picture]) == describer([picture]) * 2


def test_four_bits_describe_too(
    describe: Run, vlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What bitsandbytes asks on every CPU: here it always hears that repacking is possible.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    config = DescribeConfig(quantise="nf4", precision="fp32")
    layers = Describer(str(vlm), config=config, device=CPU)._model.modules()
    assert not any(getattr(layer, "support_avx512bf16_for_cpu", False) for layer in layers)
    describe("--split", "dev", settings=("quantise=nf4", "max_tokens=1"))
    assert Descriptions(tmp_path / "descriptions").header["settings"]["quantise"] == "nf4"


def test_a_model_without_its_weights_or_its_pictures_is_refused(
    describe: Run, vlm: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(vlm, broken)
    weights = load_file(broken / "model.safetensors")
    del weights[sorted(weights)[0]]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="must hold all weights of its architecture, but lacks 1 tensor"):
        Describer(str(broken), config=DescribeConfig(), device=CPU)
    with pytest.raises(ModelError, match="--model no/such/model: there is no such directory"):
        describe("--model", "no/such/model")


def test_a_cut_or_edited_file_is_refused(described: tuple[Path, Any], tmp_path: Path) -> None:
    path = tmp_path / "train-0-of-1.jsonl"
    header, *rows = (described[0] / path.name).read_text(encoding="utf-8").splitlines(keepends=True)
    for content, fault in (
        ([header, *rows[:-1]], "was cut off or edited"),
        ([header, rows[0], rows[3], *rows[1:3]], "line 4: the lines of 'train/0' must follow one another"),
        ([header, rows[1], rows[0]], "line 3: frames of 'train/0' must rise"),
        ([header, rows[0][:-9]], "line 2 must be JSON"),
        ([header, '{"id": "x", "frame": 0}\n'], "line 2 must have id, frame and text"),
        (['{"format": "other"}\n'], "must begin with a header of format"),
    ):
        path.write_text("".join(content), encoding="utf-8")
        with pytest.raises(DataError, match=fault):
            Descriptions(tmp_path)


def test_pictures_are_whole_and_no_larger_than_asked(manifest: Manifest) -> None:
    clip = manifest.clip(manifest.split("train")[1])
    pictures = read_pictures(clip, sampling=FrameSampling(stride=3), longest_side=12)
    assert {frame: p.shape for frame, p in pictures.items()} == dict.fromkeys((0, 3), (9, 12, 3))
    assert all(picture.dtype == np.uint8 for picture in pictures.values())
