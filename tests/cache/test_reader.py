"""What was written comes back, in this process and in others; what does not belong together is refused."""

import multiprocessing
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fla_llm.cache import reader
from fla_llm.cache.checksum_header import write_checksum_header
from fla_llm.cache.reader import FeatureCache, _ShardFile, splits_in
from fla_llm.core.errors import CacheError


def read_sum(cache: FeatureCache) -> float:
    return float(sum(cache[i].astype(np.float64).sum() for i in range(len(cache))))


def test_what_is_read_is_what_was_written(maker: Any) -> None:
    rows = maker.rows(5)
    maker.write(rows)
    cache = FeatureCache(maker.folder, "train")
    assert cache.rows == rows
    assert cache.provenance == maker.made_by()
    assert cache.fingerprint == "3f2a"
    assert cache.num_steps.tolist() == [1, 2, 3, 4, 1]
    for number in range(5):
        np.testing.assert_array_equal(cache[number], maker.features(number))
        assert cache[number].dtype == np.float16


def test_further_references_come_back_and_their_absence_leaves_the_file_as_it_was(
    maker: Any, tmp_path: Path
) -> None:
    rows = [replace(maker.row(0), references=("Wind\u2028", "手")), maker.row(1)]
    path = maker.write(rows)
    cache = FeatureCache(maker.folder)
    assert [row.references for row in cache.rows] == [("Wind\u2028", "手"), ()]
    plain = maker.write(maker.rows(2), folder=tmp_path / "plain")
    with h5py.File(plain) as file, h5py.File(path) as other:
        assert set(other["index"]) - set(file["index"]) == {"references"}
    with h5py.File(path, "r+") as file:
        file["index/references"][0] = '["a", 1]'
    write_checksum_header(path)
    with pytest.raises(CacheError, match=r"/index/references must hold lists of texts, but holds \['a', 1\]"):
        FeatureCache(maker.folder)


def test_an_absent_step_length_comes_back_as_none(maker: Any) -> None:
    maker.write(maker.rows(1), step_seconds=None)
    assert FeatureCache(maker.folder).provenance == maker.made_by(step_seconds=None)


@pytest.mark.parametrize("in_memory", [False, True])
def test_arrays_are_the_readers_own(maker: Any, in_memory: bool) -> None:
    maker.write(maker.rows(2))
    cache = FeatureCache(maker.folder, in_memory=in_memory)
    cache[1][:] = 0
    np.testing.assert_array_equal(cache[1], maker.features(1))


def test_anyone_can_read_it_with_h5py_alone(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    with h5py.File(path) as file:
        assert file["index/id"].asstr()[1] == "trä/1"
        np.testing.assert_array_equal(file["features/1"][:], maker.features(1))


def test_the_memory_map_and_h5py_agree(maker: Any) -> None:
    path = maker.write(maker.rows(3))
    file = _ShardFile(path)
    mapped = [file.read(row, shape=(row + 1, maker.width)) for row in range(3)]
    assert file._bytes is not None
    file._bytes = None  # as on a network disk
    for row in range(3):
        np.testing.assert_array_equal(file.read(row, shape=(row + 1, maker.width)), mapped[row])


@pytest.mark.parametrize("local", [False, True])
def test_only_a_local_disk_is_mapped(maker: Any, monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    maker.write(maker.rows(2))
    monkeypatch.setattr(reader, "is_local", lambda path: local)
    cache = FeatureCache(maker.folder)
    np.testing.assert_array_equal(cache[1], maker.features(1))
    assert (cache._files[0]._bytes is not None) == local


def test_opening_reads_indices_and_no_video(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it takes as long for a thousand clips as columns of a thousand entries do."""
    maker.write(maker.rows(1000))
    asked: list[str] = []
    getitem = h5py.Group.__getitem__

    def listed(group: h5py.Group, name: Any) -> Any:
        asked.append(f"{group.name}/{name}".lstrip("/"))
        return getitem(group, name)

    monkeypatch.setattr(h5py.Group, "__getitem__", listed)
    cache = FeatureCache(maker.folder)
    assert len(cache) == 1000
    assert [name for name in asked if name.startswith("features/")] == []
    assert len(asked) < 20
    cache[7]
    assert asked[-1] == "features/7"


def test_views_of_a_clip_are_found_by_its_id(maker: Any) -> None:
    """Whatever shard they are in, and in whatever order; each is a row of its own."""
    rows = [replace(maker.row(n), view=view) for n, view in ((0, 0), (1, 1), (0, 2), (1, 0), (0, 1), (2, 1))]
    for index in range(2):
        with maker.writer(rows[index::2], index=index, count=2) as writer:
            for row in writer.pending:
                writer.append(row, maker.features(row.view))
            writer.finish()
    cache = FeatureCache(maker.folder)
    assert len(cache) == len(cache.rows) == 6
    assert list(cache.views) == list(dict.fromkeys(row.id for row in cache.rows))
    for id, numbers in cache.views.items():
        assert {cache.rows[number].id for number in numbers} == {id}
        for number in numbers:
            np.testing.assert_array_equal(cache[number], maker.features(cache.rows[number].view))
    views = {id: [cache.rows[n].view for n in numbers] for id, numbers in cache.views.items()}
    assert views == {"trä/0": [0, 1, 2], "trä/1": [0, 1], "trä/2": [1]}


def test_shards_make_one_sequence(maker: Any) -> None:
    rows = maker.rows(5)
    maker.write(rows[1::2], index=1, count=2)
    maker.write(rows[::2], index=0, count=2)
    maker.write(rows, split="dev", step_seconds=0.2)
    assert [row.id for row in FeatureCache(maker.folder, "train").rows] == [
        f"trä/{n}" for n in (0, 2, 4, 1, 3)
    ]
    assert len(FeatureCache(maker.folder)) == 10
    assert splits_in(maker.folder) == ["dev", "train"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(maker: Any, method: str) -> None:
    maker.write(maker.rows(4))
    cache = FeatureCache(maker.folder)
    cache[0]  # the parent's files are open when the child begins
    with multiprocessing.get_context(method).Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(cache.__getitem__, (3,)), maker.features(3))


def test_pickling_drops_the_open_files(maker: Any) -> None:
    maker.write(maker.rows(4))
    cache = FeatureCache(maker.folder, in_memory=True)
    here = read_sum(cache)
    pickled = pickle.dumps(cache)
    assert maker.features(3).tobytes() not in pickled
    assert read_sum(pickle.loads(pickled)) == here


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"encoder_fingerprint": "91bc"},
            "encoder_fingerprint is '3f2a' in the first and '91bc' in the second",
        ),
        ({"preprocessing": {"image_size": 32}}, "preprocessing.image_size is 16 in the first and 32"),
        ({"versions": {"torch": "3"}}, "versions.torch is '2' in the first and '3'"),
    ],
)
def test_shards_that_disagree_are_refused(maker: Any, changes: dict[str, Any], message: str) -> None:
    rows = maker.rows(4)
    maker.write(rows[::2], index=0, count=2)
    maker.write(rows[1::2], index=1, count=2, **changes)
    with pytest.raises(CacheError, match=message):
        FeatureCache(maker.folder)


def test_an_id_in_two_shards_is_refused(maker: Any) -> None:
    maker.write(maker.rows(2), index=0, count=2)
    maker.write(maker.rows(1), index=1, count=2)
    with pytest.raises(CacheError, match=r"'trä/0' \(view 0\) is in train-0-of-2.h5 and in train-1-of-2.h5"):
        FeatureCache(maker.folder)


def test_missing_shards_are_named(maker: Any) -> None:
    maker.write(maker.rows(2), index=1, count=3)
    with pytest.raises(CacheError, match=r"lacks train-0-of-3.h5, train-2-of-3.h5"):
        FeatureCache(maker.folder)


def test_two_sets_of_shards_are_refused(maker: Any) -> None:
    maker.write(maker.rows(2))
    maker.write(maker.rows(2), index=0, count=2)
    with pytest.raises(CacheError, match="one set of train shards, but holds some of 1 and some of 2"):
        FeatureCache(maker.folder)


def test_a_split_that_is_not_there_is_refused_with_those_that_are(maker: Any, tmp_path: Path) -> None:
    maker.write(maker.rows(2))
    with pytest.raises(CacheError, match=r"dev-0-of-1.h5\), but there are only train"):
        FeatureCache(maker.folder, "dev")
    with pytest.raises(CacheError, match="but there are none"):
        FeatureCache(tmp_path)
    with pytest.raises(CacheError, match="nowhere must be the folder of a feature cache"):
        FeatureCache(tmp_path / "nowhere")


def test_other_hdf5_files_are_refused_by_name(maker: Any) -> None:
    maker.write(maker.rows(2))
    with h5py.File(maker.folder / "poses.h5", "w") as file:
        file["features"] = [1, 2]
    with pytest.raises(CacheError, match=r"poses.h5 must be a feature cache, but is another kind of file"):
        FeatureCache(maker.folder)


def test_a_shard_under_another_name_is_refused(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    path.rename(path.with_name("mine.h5"))
    with pytest.raises(CacheError, match=r"mine.h5 must be named like a shard"):
        FeatureCache(maker.folder)
    (maker.folder / "mine.h5").rename(path.with_name("dev-0-of-1.h5"))
    with pytest.raises(CacheError, match="must hold the split dev, but holds train"):
        FeatureCache(maker.folder)


def test_a_newer_format_is_refused(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    path.write_bytes(path.read_bytes().replace(b"cache 1\n", b"cache 2\n", 1))
    with pytest.raises(CacheError, match="must have format version 1, but has '2'"):
        FeatureCache(maker.folder)


def test_a_truncated_shard_is_refused(maker: Any) -> None:
    path = maker.write(maker.rows(2))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(CacheError, match=r"train-0-of-1.h5 is damaged: .*\nRun: fla cache verify --deep"):
        FeatureCache(maker.folder)


def test_real_files_of_another_kind_are_refused(shared_data: Path, tmp_path: Path) -> None:
    for path in (shared_data / "wrong-schema").glob("*.h5"):
        folder = tmp_path / path.stem
        folder.mkdir()
        shutil.copy(path, folder / "train-0-of-1.h5")
        with pytest.raises(CacheError, match=r"train-0-of-1.h5 must be a feature cache, but is another kind"):
            FeatureCache(folder)
