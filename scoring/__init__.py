"""Scores of sentences (BLEU, chrF, ROUGE-L, WER) under named protocols, and readers of sentence files."""

from .compare import Comparison, compare
from .pairing import check_same_references, common_language, pair
from .protocol import Protocol
from .protocols import PROTOCOLS, find_protocol
from .score import Scores, score
from .sentences import SentenceFile, Sentences, read_sentence_file

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Protocol",
    "Scores",
    "SentenceFile",
    "Sentences",
    "check_same_references",
    "common_language",
    "compare",
    "find_protocol",
    "pair",
    "read_sentence_file",
    "score",
]
