"""The visual encoder: frames to embeddings; its training form, its inference path, its directory.

Needs torch for everything but its settings, so nothing is handed on here: import the module you need.
"""
