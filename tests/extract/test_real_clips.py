"""Recordings, generated and real, through the whole extraction, read back as the docs tell everyone to."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.verify import verify
from fla_llm.cli import fla
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.manifest import Manifest, write_manifest
from fla_llm.corpora.prepare import prepare

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"


@pytest.fixture
def real_manifest(shared_data: Path) -> Manifest:
    config = PrepareConfig(annotations="how2sign_realigned_mini_{split}.csv")
    manifest = prepare("how2sign", shared_data / "how2sign", config=config).manifest
    assert len(manifest.samples) == 33
    return replace(manifest, samples=manifest.samples[::11])  # decoding all of them takes 20 seconds


@pytest.mark.parametrize("origin", ["generated", "real"])
def test_the_script_in_the_docs_reads_a_cache(
    request: pytest.FixtureRequest, tmp_path: Path, origin: str
) -> None:
    (script,) = re.findall(r"```python\n(import glob, h5py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len([line for line in script.splitlines() if line]) == 5
    manifest = request.getfixturevalue("manifest" if origin == "generated" else "real_manifest")
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    args = ["--encoder", "timm:test_resnet", "--set", "timm.pretrained=false", "--set", "timm.image_size=32"]
    args += ["--manifest", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "features")]
    result = CliRunner().invoke(fla, ["extract", *args, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    assert verify(tmp_path / "features", deep=True) == []

    cache = FeatureCache(tmp_path / "features")
    assert {(row.id, row.text) for row in cache.rows} == {(s.id, s.text) for s in manifest.samples}
    assert len(cache) == len(manifest.samples) == (8 if origin == "generated" else 3)
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        f"{row.id} {row.text} {cache[number].shape}" for number, row in enumerate(cache.rows)
    ]
