"""Key points on the demo's sign language: poses alone, under damage, beside pictures, and for three tasks.

    python bench/pose_demo.py OUT                       # the demo on pictures too, in OUT/demo
    python bench/pose_demo.py OUT --demo runs/demo      # pictures: a finished folder of fla demo
    python bench/pose_demo.py OUT --quick               # a trial of everything, with a few clips

Every step is a command of ``fla``, timed, and skipped when it is done: an interrupted call goes on. Damage is
in the test clips alone: noise in the key points, hands lost in some frames, black pictures in place of some
videos. The key points are the renderer's own, so a score on them says nothing about detectors. Evaluations of
damaged clips have names of their own, and are all that is written into a folder of ``fla demo``. The result
is OUT/table.md and OUT/table.json.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hands_steps import Call, Steps, call_fla
from pose_damage import (
    Damage,
    with_noise,
    without_hands,
    write_black_videos,
    write_damaged_poses,
    write_three_tasks,
)
from pose_table import write_table

from fla_llm.core.config import config_to_dict, write_config
from fla_llm.core.files import read_json
from fla_llm.corpora.manifest import read_manifest
from fla_llm.demo.config import DemoRunConfig, load_demo_config
from fla_llm.demo.corpus import demo_text, plan_clips

SUMMARY = "summary.json"  # of a finished folder of fla demo
NOISE, LOST_HANDS, BLACK = 0.05, 0.3, 0.1
POSE_DAMAGE: dict[str, Damage] = {"noise": with_noise(NOISE), "hands": without_hands(LOST_HANDS)}
FUSIONS = ("time", "gate")
EPOCHS, TUNE_EPOCHS = 9, 3
"""Epochs of both stages on key points. Pictures have 9 and 8, and key points may take half of the time."""
# As the preset demo-poses. For the graph network: --set encoder.poses.network=graph.
POSE_SETTINGS = ("encoder.kind=poses", "encoder.poses.network=flat")
TASK_SETTINGS = (
    # A quarter of Uni-Sign's width.
    "projector.width=64", "projector.norm=true", "projector.learning_rate=1e-3",
    # Short prompts: the small language model has no tokens for most words of the usual ones.
    "prompt=translate", "prompt_by_task.recognise=signs", "prompt_by_task.isolated=word",
    "training.batch_clips=16", "training.batch_tokens=1024", "training.accumulate=1",
    "training.learning_rate=1e-3", "training.warmup_share=0.08", "training.evaluate_every_epochs=4",
    "decoding.max_new_tokens=30",
)  # fmt: skip
TASK_EPOCHS = 12
QUICK = (
    "corpus.train_clips=216", "corpus.single_sign_clips=192", "corpus.dev_clips=3", "corpus.test_clips=8",
    "pretrain.training.epochs=1", "pretrain.training.evaluate_from_epoch=1", "llm.steps=5",
    "text_sentences=300", "tune.training.epochs=1", "tune.training.evaluate_from_epoch=1",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement: its folder, the settings of the demo, and the steps."""

    out: Path
    config: DemoRunConfig
    steps: Steps
    picture_steps: Steps
    """Steps of the runs on pictures, in their folder: ``stage1``, ``cache``, ``llm`` and ``stage2``."""
    is_given: bool
    """Whether the runs on pictures are those of ``fla demo``."""
    epochs: int
    task_epochs: int
    is_trial: bool = False
    settings: Sequence[str] = ()
    """Single settings of stage one on key points, as for ``--set``."""
    task_settings: Sequence[str] = ()
    """The same for the model of three tasks."""

    @property
    def demo(self) -> Path:
        """Folder of the runs on pictures."""
        return self.picture_steps.folder

    @property
    def corpus_steps(self) -> Steps:
        """Steps of the corpus. ``fla demo`` renders no key points: its corpus is made again."""
        return self.steps if self.is_given else self.picture_steps

    @property
    def manifest(self) -> Path:
        """The manifest of videos and true key points."""
        return self.corpus_steps.folder / "manifest.jsonl"


def run(bench: Bench) -> Path:
    """Run every step that is not done, and return the table."""
    corpus = [f"demo.{key}={value}" for key, value in config_to_dict(bench.config.corpus).items()]
    bench.corpus_steps.command(
        "prepare", "prepare", "demo", bench.manifest.with_name("corpus"), "--out", bench.manifest,
        "--seed", str(bench.config.seed), *sets(["poses=true", *corpus]),
    )  # fmt: skip
    for name, config in (("stage1", bench.config.pretrain), ("stage2", bench.config.tune)):
        write_config(config, bench.manifest.with_name(f"{name}.yaml"))
    if not bench.is_given:
        # The same functions, with steps that another measurement may share.
        pictures(replace(bench, steps=bench.picture_steps))
    poses(bench)
    damaged(bench)
    both(bench)
    three_tasks(bench)
    return write_table(
        bench.out,
        demo=bench.demo,
        records={**bench.picture_steps.records(), **bench.steps.records()},
        summary=read_json(bench.demo / SUMMARY) if bench.is_given else None,
        is_trial=bench.is_trial,
    )


def pictures(bench: Bench) -> None:
    """Run the stages of ``fla demo`` as steps."""
    pretrain("pretrain_rgb", bench, bench.demo / "stage1", [])
    evaluate("evaluate_rgb_stage1", bench, bench.demo / "stage1", "--manifest", bench.manifest)
    extract("extract_rgb", bench, bench.demo / "stage1", bench.manifest, bench.demo / "cache")
    recipe = [config_to_dict(bench.config.llm), bench.config.text_sentences, bench.config.seed]
    bench.steps.work("small_llm", recipe, lambda: make_llm(bench))
    tune("tune_rgb", bench, bench.demo / "stage2", [bench.demo / "cache"])
    evaluate_both("evaluate_rgb", bench, bench.demo / "stage2", bench.demo / "cache")


def poses(bench: Bench) -> None:
    """Run both stages on key points alone."""
    stage_one, cache, stage_two = bench.out / "poses1", bench.out / "cache-poses", bench.out / "poses2"
    epochs = [f"training.{key}={bench.epochs}" for key in ("epochs", "evaluate_from_epoch")]
    pretrain("pretrain_poses", bench, stage_one, [*POSE_SETTINGS, *epochs, *bench.settings])
    evaluate("evaluate_poses_stage1", bench, stage_one, "--manifest", bench.manifest)
    extract("extract_poses", bench, stage_one, bench.manifest, cache)
    epochs = [f"training.{key}={TUNE_EPOCHS}" for key in ("epochs", "evaluate_from_epoch")]
    tune("tune_poses", bench, stage_two, [cache], *([] if bench.is_trial else epochs))
    evaluate_both("evaluate_poses", bench, stage_two, cache)


def damaged(bench: Bench) -> None:
    """Damage the test clips, and score the runs on one kind of input."""
    whole, size = read_manifest(bench.manifest), bench.config.corpus.image_size
    for name, damage in POSE_DAMAGE.items():
        folder = bench.out / name
        bench.steps.work(f"damage_{name}", [NOISE, LOST_HANDS], lambda folder=folder, damage=damage: (
            write_damaged_poses(whole, folder, damage=damage, size=(size, size), seed=bench.config.seed)
        ))  # fmt: skip
        clips, cache = folder / "manifest.jsonl", folder / "cache"
        evaluate(f"evaluate_poses_stage1_{name}", bench, bench.out / "poses1", "--manifest", clips)
        extract(f"extract_poses_{name}", bench, bench.out / "poses1", clips, cache, "--split", "test")
        evaluate(f"evaluate_poses_{name}", bench, bench.out / "poses2", "--features", cache)
    folder = bench.out / "black"
    bench.steps.work("damage_black", [BLACK], lambda: (
        write_black_videos(whole, folder, share=BLACK, size=size, seed=bench.config.seed)
    ))  # fmt: skip
    clips, cache = folder / "manifest.jsonl", folder / "cache"
    extract("extract_rgb_black", bench, bench.demo / "stage1", clips, cache, "--split", "test")
    evaluate("evaluate_rgb_black", bench, bench.demo / "stage2", "--features", cache)


def both(bench: Bench) -> None:
    """Tune on key points and pictures, and score with either stream damaged."""
    caches = {"poses": bench.out / "cache-poses", "rgb": bench.demo / "cache"}
    for fusion in FUSIONS:
        name, folder = f"both_{fusion}", bench.out / f"both-{fusion}"
        tune(f"tune_{name}", bench, folder, list(caches.values()), f"fuse={fusion}")
        evaluate_both(f"evaluate_{name}", bench, folder, *caches.values())
        for damage, stream in {"hands": "poses", "noise": "poses", "black": "rgb"}.items():
            given = caches | {stream: bench.out / damage / "cache"}
            evaluate(f"evaluate_{name}_{damage}", bench, folder, *features(given.values()))


def three_tasks(bench: Bench) -> None:
    """Tune the preset uni-sign with the small language model on three tasks."""
    clips, cache, folder = bench.out / "tasks.jsonl", bench.out / "cache-tasks", bench.out / "tasks"
    plans = plan_clips(bench.config.corpus, seed=bench.config.seed)
    bench.steps.work("tasks", [], lambda: write_three_tasks(read_manifest(bench.manifest), plans, clips))
    sampling = bench.config.pretrain.encoder.sampling
    bench.steps.command(
        "extract_tasks", "extract", "--encoder", "poses", "--manifest", clips, "--out", cache,
        *sets([f"poses.frame_stride={sampling.stride}", f"poses.max_frames={sampling.max_frames}"]),
    )  # fmt: skip
    epochs = [f"training.{key}={bench.task_epochs}" for key in ("epochs", "evaluate_from_epoch")]
    bench.steps.command(
        "tune_tasks", "tune", "--config", "uni-sign", "--llm", bench.demo / "llm", "--features", cache,
        "--out", folder, "--seed", str(bench.config.seed),
        *sets([*TASK_SETTINGS, *epochs, *bench.task_settings]), resume=folder,
    )  # fmt: skip
    evaluate_both("evaluate_tasks", bench, folder, cache)


def pretrain(name: str, bench: Bench, folder: Path, settings: Sequence[str]) -> None:
    bench.steps.command(
        name, "pretrain", "--manifest", bench.manifest, "--config", bench.manifest.with_name("stage1.yaml"),
        "--out", folder, *sets(settings), settings=config_to_dict(bench.config.pretrain), resume=folder,
    )  # fmt: skip


def extract(name: str, bench: Bench, ckpt: Path, clips: Path, cache: Path, *more: str) -> None:
    bench.steps.command(name, "extract", "--ckpt", ckpt, "--manifest", clips, "--out", cache, *more)


def tune(name: str, bench: Bench, folder: Path, caches: Sequence[Path], *settings: str) -> None:
    bench.steps.command(
        name, "tune", *features(caches), "--llm", bench.demo / "llm",
        "--config", bench.manifest.with_name("stage2.yaml"), "--out", folder,
        *sets(settings), settings=config_to_dict(bench.config.tune), resume=folder,
    )  # fmt: skip


def evaluate(name: str, bench: Bench, folder: Path, *source: str | Path) -> None:
    bench.steps.command(name, "evaluate", folder, *source)


def evaluate_both(name: str, bench: Bench, folder: Path, *caches: Path) -> None:
    """Score a run of stage two on test, and once more with the clips exchanged."""
    evaluate(name, bench, folder, *features(caches))
    evaluate(f"{name}_shuffled", bench, folder, *features(caches), "--shuffle-features")


def make_llm(bench: Bench) -> None:
    """Make the language model of ``fla demo``, which knows no sentence of the corpus."""
    # Imported here: a call with finished steps needs no torch.
    from fla_llm.demo.small_llm import make_small_llm

    config = bench.config
    own = {sample.text for sample in read_manifest(bench.manifest).samples}
    sentences = demo_text(
        count=config.text_sentences, seed=config.seed, exclude=own,
        paraphrases=config.corpus.paraphrases, language=config.corpus.language,
    )  # fmt: skip
    make_small_llm(sentences, bench.demo / "llm", config=config.llm, seed=config.seed)


def features(caches: Sequence[Path]) -> list[str]:
    return [word for cache in caches for word in ("--features", str(cache))]


def sets(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def call_here(*arguments: str | Path) -> None:
    """Run ``fla`` in this process: a trial need not load torch for every step."""
    from fla_llm.cli import fla

    if code := fla([str(argument) for argument in arguments], standalone_mode=False):
        raise SystemExit(code)


def make_bench(arguments: argparse.Namespace, *, fla: Call) -> Bench:
    """Return the measurement of a command line."""
    out = arguments.out.absolute()
    demo = (arguments.demo or out / "demo").absolute()
    for folder in (out, demo):
        folder.mkdir(parents=True, exist_ok=True)
    # The sizes of earlier runs on pictures hold for key points too.
    settings = demo / "config.yaml"
    if not settings.is_file():
        write_config(load_demo_config(overrides=QUICK if arguments.quick else ()), settings)
    return Bench(
        out=out,
        config=load_demo_config(str(settings)),
        steps=Steps(folder=out, fla=fla),
        picture_steps=Steps(folder=demo, fla=fla),
        is_given=(demo / SUMMARY).is_file(),
        epochs=arguments.epochs or (1 if arguments.quick else EPOCHS),
        is_trial=arguments.quick,
        task_epochs=arguments.task_epochs or (1 if arguments.quick else TASK_EPOCHS),
        settings=arguments.set,
        task_settings=arguments.set_task,
    )


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--demo", type=Path, help="folder of the runs on pictures  [OUT/demo]")
    parser.add_argument("--quick", action="store_true", help="a few clips and one epoch: a trial")
    parser.add_argument("--epochs", type=int, help=f"of stage one on key points  [{EPOCHS}]")
    parser.add_argument("--task-epochs", type=int, help=f"of the three tasks  [{TASK_EPOCHS}]")
    parser.add_argument("--set", action="append", default=[], help="a setting of stage one on key points")
    parser.add_argument("--set-task", action="append", default=[], help="a setting of the three tasks")
    return parser.parse_args(words)


def main() -> None:
    arguments = parse_args()
    table = run(make_bench(arguments, fla=call_here if arguments.quick else call_fla))
    print(table.read_text())


if __name__ == "__main__":
    main()
