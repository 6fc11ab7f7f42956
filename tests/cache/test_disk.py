"""Network file systems are told from disks."""

import os
from pathlib import Path

import pytest

from fla_llm.cache import disk
from fla_llm.cache.disk import is_local


@pytest.mark.parametrize(
    ("kind", "local"),
    [("ext4", True), ("overlay", True), ("nfs4", False), ("lustre", False), ("fuse.s3", False)],
)
def test_the_file_system_is_told_by_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, local: bool
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    other = "21 1 0:0 / /proc rw shared:1 - nfs4 server:/ rw\n"
    own = f"36 35 {os.major(device)}:{os.minor(device)} / /data rw - {kind} source rw\n"
    mounts.write_text(other + own)
    monkeypatch.setattr(disk, "_MOUNTS", mounts)
    assert is_local(tmp_path) == local
    mounts.write_text(other)
    assert is_local(tmp_path)
    mounts.unlink()
    assert is_local(tmp_path)
