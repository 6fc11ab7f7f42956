"""Training engine of both stages: batches, the Trainer, checkpoints, evaluation by generation.

Nothing is imported here, because all modules but the settings need torch. Import the module you need.
"""
