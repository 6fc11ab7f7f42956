"""The doctor finds this machine well, and says what is wrong with a sick one."""

from pathlib import Path

import pytest

from fla_llm.planning import doctor


def test_this_machine_is_well(tmp_path: Path) -> None:
    checks = doctor.examine(tmp_path, device="cpu")
    assert [check for check in checks if not check.ok] == []
    assert {"4-bit training", "video decoding", "feature cache"} <= {check.name for check in checks}
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_found_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_GIB", 1e9)
    [disk] = doctor.examine(tmp_path, device="cpu", only=["free disk"])
    assert not disk.ok
    assert "free at least" in disk.fix


def test_a_check_that_breaks_is_a_finding(tmp_path: Path) -> None:
    names = ["device", "video decoding", "feature cache"]
    device, decoding, cache = doctor.examine(tmp_path / "absent", device="cuda:99", only=names)
    assert not device.ok
    assert "cuda:99" in device.found
    assert not cache.ok
    assert str(tmp_path / "absent") in cache.fix
    assert decoding.ok
