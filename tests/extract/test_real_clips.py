"""Real recordings through the whole extraction, read back as docs/cache.md tells everyone to."""

import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from fla_llm.cache.reader import FeatureCache
from fla_llm.cache.verify import verify
from fla_llm.cli import fla
from fla_llm.corpora.config import PrepareConfig
from fla_llm.corpora.manifest import write_manifest
from fla_llm.corpora.prepare import prepare

PAGE = Path(__file__).parents[2] / "docs" / "cache.md"


def test_the_script_in_the_docs_reads_a_cache_of_real_clips(shared_data: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(import glob, h5py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len([line for line in script.splitlines() if line]) == 5
    config = PrepareConfig(annotations="how2sign_realigned_mini_{split}.csv")
    manifest = prepare("how2sign", shared_data / "how2sign", config=config).manifest
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    args = ["--encoder", "timm:test_resnet", "--set", "timm.pretrained=false", "--set", "timm.image_size=32"]
    args += ["--manifest", str(tmp_path / "manifest.jsonl"), "--out", str(tmp_path / "features")]
    result = CliRunner().invoke(fla, ["extract", *args, "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0
    assert verify(tmp_path / "features", deep=True) == []

    cache = FeatureCache(tmp_path / "features")
    assert {(row.id, row.text) for row in cache.rows} == {(s.id, s.text) for s in manifest.samples}
    assert len(cache) == 33
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        f"{row.id} {row.text} {cache[number].shape}" for number, row in enumerate(cache.rows)
    ]
