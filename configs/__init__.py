"""Presets: YAML files of settings, in a folder for each command. ``fla config list`` shows the presets."""

from pathlib import Path

# Beside the code, so that an installed package has the presets.
PRETRAIN_PRESETS = Path(__file__).parent / "pretrain"
TUNE_PRESETS = Path(__file__).parent / "tune"
DIFFUSION_PRESETS = Path(__file__).parent / "diffusion"
