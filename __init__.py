"""Gloss-free sign language translation in two stages that meet only in files."""

from importlib.metadata import version

__version__ = version("fla-llm")
