"""The one training engine of both stages: batches, the Trainer, checkpoints, evaluation by generation.

Needs torch for everything but its settings, so nothing is handed on here: import the module you need.
"""
