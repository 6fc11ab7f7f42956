"""Presets: YAML files of settings, one folder per command. ``fla config list`` shows them."""

from pathlib import Path

PRETRAIN_PRESETS = Path(__file__).parent / "pretrain"
TUNE_PRESETS = Path(__file__).parent / "tune"
