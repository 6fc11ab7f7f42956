"""One of the processes of a stage-one run; a test starts it with these globals set."""

import gc
import os

if __name__ == "__main__":
    gc.freeze()  # a fit collects garbage, and would look at all that was imported
    os.environ |= globals()["ENVIRONMENT"]

    import torch

    from fla_llm.core.config import load_config
    from fla_llm.corpora.manifest import read_manifest
    from fla_llm.pretrain.config import PretrainConfig
    from fla_llm.pretrain.train import pretrain

    torch.set_num_threads(1)
    config = load_config(PretrainConfig, base=PretrainConfig(), source=str(globals()["CONFIG"]))
    pretrain(read_manifest(globals()["MANIFEST"]), config=config, out=globals()["OUT"], device="cpu")
