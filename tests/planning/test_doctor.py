"""The doctor finds this machine well, and says what is wrong with a sick one."""

from pathlib import Path

import pytest

from fla_llm.planning import doctor
from fla_llm.planning.doctor_report import machine_report


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


def test_the_report_names_no_user_host_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "erika"
    (folder := home / "work").mkdir(parents=True)
    monkeypatch.setattr("getpass.getuser", lambda: "erika")
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-7.lab")
    monkeypatch.setattr(Path, "home", lambda: home)
    found = f"torch 2 of {home}/lib, read in {folder} by erika on gpu-7.lab, erikas"
    text = machine_report([doctor.Check("cache", False, found)], folder=folder)
    assert "FAIL  cache: torch 2 of HOME/lib, read in FOLDER by USER on HOST, erikas" in text
    assert (text[:4], text[-4:]) == ("```\n", "\n```")
    assert str(tmp_path) not in text
    assert all(f"{name}: " in text for name in ("processor", "memory", "disk"))
