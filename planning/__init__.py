"""Does a run of stage two fit a GPU: its memory, foretold from shapes, without weights or a GPU.

Needs torch and transformers, so nothing is handed on here: import the module you need.
"""
