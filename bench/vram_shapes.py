"""Shapes of published models, as their ``config.json`` gives them: what memory depends on, and no more."""

from typing import Any

QWEN = {"vocab_size": 151936, "max_position_embeddings": 32768}
T5_XL = {
    "d_model": 2048, "d_ff": 5120, "d_kv": 64, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 32,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-1.5B": {
        "model_type": "qwen2", "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
        "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True, **QWEN,
    },
    "Qwen3-4B": {
        "model_type": "qwen3", "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
        **QWEN,
    },
    "Llama-3.1-8B": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": False,
    },
    "Gemma-2-9B": {
        "model_type": "gemma2", "hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256000,
        "max_position_embeddings": 8192,
    },
    "Qwen2.5-14B": {
        "model_type": "qwen2", "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48,
        "num_attention_heads": 40, "num_key_value_heads": 8, "tie_word_embeddings": False,
        **QWEN, "vocab_size": 152064,
    },
    "Flan-T5-XL": {"model_type": "t5", "vocab_size": 32128, **T5_XL},
    "mT5-xl": {"model_type": "mt5", "vocab_size": 250112, **T5_XL},
    "mBART-large-50": {
        "model_type": "mbart", "vocab_size": 250054, "d_model": 1024, "encoder_layers": 12,
        "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
        "encoder_attention_heads": 16, "decoder_attention_heads": 16, "max_position_embeddings": 1024,
        "scale_embedding": True, "decoder_start_token_id": 2,
    },
}  # fmt: skip
PRESETS = {name: "mbart" if name.startswith("mBART") else "llama" for name in SHAPES}
"""Settings each model is planned and measured with."""
