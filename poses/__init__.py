"""Key points of signers: skeleton layouts, safe readers of pose files, normalisation and augmentation.

Needs numpy alone. The package ``pose-format`` is loaded where a ``.pose`` file is read.
"""
