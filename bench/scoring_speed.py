"""Time of scoring: python bench/scoring_speed.py [--pairs 10000] [--repeats 3].

Under each protocol, on one core: so many pairs of random sentences with as many words as PHOENIX-2014T's
(14 on average), and 1000 bootstrap samples of 1176 of them. Prints seconds of processor time, medians and
ranges. Scoring uses one thread.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable

from fla_llm.scoring import PROTOCOLS, score

VOCABULARY = [f"wort{number}" for number in range(3000)]


def sentences(count: int, *, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(VOCABULARY, k=draw.randint(4, 24))) + " ." for _ in range(count)]


def seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    hypotheses, references = sentences(args.pairs, seed=1), sentences(args.pairs, seed=2)
    load = os.getloadavg()[0]
    found: dict[str, dict[str, list[float]]] = {name: {"score": [], "bootstrap": []} for name in PROTOCOLS}
    for _ in range(args.repeats):
        for name, times in found.items():
            rules = {"language": "de", "protocol": name}
            times["score"].append(seconds(lambda rules=rules: score(hypotheses, references, **rules)))
            few = hypotheses[:1176], references[:1176]
            times["bootstrap"].append(
                seconds(lambda few=few, rules=rules: score(*few, **rules, resamples=1000))
            )
    report = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load_average_at_start": load,
        "pairs": args.pairs,
        "seconds": {
            name: {
                kind: {"median": statistics.median(values), "min": min(values), "max": max(values)}
                for kind, values in times.items()
            }
            for name, times in found.items()
        },
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
