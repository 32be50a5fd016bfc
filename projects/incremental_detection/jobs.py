"""One run: all stages of a config with one seed, trained and tested.

Folders are ``OUT/CONFIG/seed_N/STAGE``. The config of a stage is written
beside its folder when the training starts, in it ``trained`` when that has
ended and ``metrics.json`` by the test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from folders import compare, config_file, reuse, write
from mmengine.config import Config
from stages import SECTIONS, Plan, Stage, plan_of, stage_config
from table_parts import TOOLS, Row, Table, read_metrics

from mmood.checkpoint import last_checkpoint
from mmood.config import read_config

# Told the name of a step and the command that does it.
Execute = Callable[[str, list[str]], None]


@dataclass(eq=False)
class Job:
    """The stages of a config that are wanted, with one seed."""

    row: Row
    cfg: Config
    plan: Plan
    stages: Sequence[Stage]
    seed: int
    folder: Path
    processes: int = 1
    options: dict = field(default_factory=dict)
    needs: None = None  # no job waits for another

    @property
    def name(self) -> str:
        return f'{self.row.folder}, seed {self.seed}'

    @property
    def finished(self) -> bool:
        return all(self.metrics(stage).is_file() for stage in self.stages)

    def metrics(self, stage: Stage) -> Path:
        return self.folder / stage.name / 'metrics.json'

    def trained(self, name: str) -> bool:
        return (self.folder / name / 'trained').is_file()

    def config(self, stage: Stage) -> Config:
        """With the checkpoints that are there."""
        start, teacher = (
            name and last_checkpoint(self.folder / name)
            for name in (stage.after, stage.teacher)
        )
        return stage_config(
            self.cfg,
            self.plan,
            stage,
            self.folder / stage.name,
            seed=self.seed,
            start=start,
            teacher=teacher,
            options=self.options,
            processes=self.processes,
        )

    def read(self) -> dict[str, dict]:
        """Metrics of the finished stages, by name."""
        return {
            stage.name: read_metrics(self.metrics(stage))
            for stage in self.plan.stages
            if self.metrics(stage).is_file()
        }


def jobs_of(
    table: Table, wanted: Sequence[str] | None = None, processes: int = 1
) -> list[Job]:
    """The jobs of the first row, with all its seeds, then of the next.

    ``wanted`` names the stages; None: all. Raises ValueError for a name that
    is no stage, and for whatever a config has wrong.
    """
    jobs = []
    for row in table.rows:
        cfg, plan, options = prepare(row)
        names = [stage.name for stage in plan.stages]
        unknown = [name for name in wanted or () if name not in names]
        if unknown:
            raise ValueError(
                f'{row.config} has no stages {unknown}; it has {names}'
            )
        stages = [s for s in plan.stages if s.name in (wanted or names)]
        for seed in table.seeds:
            folder = table.out / row.folder / f'seed_{seed}'
            jobs.append(
                Job(row, cfg, plan, stages, seed, folder, processes, options)
            )
    return jobs


def prepare(row: Row) -> tuple[Config, Plan, dict]:
    """A row's config, its plan and the overrides for each of its stages.

    Overrides of `SECTIONS` are already in the plan.
    """
    cfg = read_config(row.config, import_custom_modules=False)
    own, others = {}, {}
    for key, value in row.cfg_options.items():
        part = own if key.split('.')[0] in SECTIONS else others
        part[key] = value
    cfg.merge_from_dict(own)
    return cfg, plan_of(cfg), others


def check(job: Job) -> None:
    """Raise ValueError if the job cannot go on from what is in its folder.

    That is if a stage there was made with other options, or if one starts
    from a stage that will not be trained now and has no checkpoint.
    """
    names = [stage.name for stage in job.stages]
    for stage in job.stages:
        folder = job.folder / stage.name
        done = job.trained(stage.name) or job.metrics(stage).is_file()
        if done or last_checkpoint(folder):
            compare(folder, job.config(stage))
        later = stage.after in names and not job.trained(stage.after)
        if not done and not later:
            check_start(job, stage)


def check_start(job: Job, stage: Stage) -> None:
    """Raise ValueError if a stage's predecessor has no checkpoint."""
    folder = job.folder / (stage.after or '')
    if stage.after and last_checkpoint(folder) is None:
        raise ValueError(
            f'{job.name}: {stage.name} starts from the checkpoint of '
            f'{stage.after}, and there is none in {folder}. Train that first: '
            'name it in --stages too, or delete that folder if its '
            'checkpoint was removed'
        )


def carry_out(job: Job, execute: Execute) -> None:
    """Train and test, stage by stage, what is not yet done."""
    for stage in job.stages:
        folder = job.folder / stage.name
        if job.metrics(stage).is_file() or copy_twin(job, stage):
            continue
        if not job.trained(stage.name):
            train(job, stage, execute)
        checkpoint = last_checkpoint(folder)
        if checkpoint is None:
            raise ValueError(
                f'{folder} says that it is trained and has no checkpoint: '
                'delete it to train it again'
            )
        path = config_file(folder)
        if not path.is_file():
            write(path, job.config(stage))
        command = tool('test', job.processes, path)
        command += [str(checkpoint), '--out-dir', str(folder)]
        execute(f'{stage.name}, testing', command)
        if not job.metrics(stage).is_file():
            raise ValueError(f'the test left no {job.metrics(stage)}')


def copy_twin(job: Job, stage: Stage) -> bool:
    """Take a base stage from another config's folder, if one is the same.

    Methods that differ in the increments only need one base training.
    """
    folder = job.folder / stage.name
    if stage.after or folder.exists():
        return False
    place = Path(*folder.parts[-2:])
    others = sorted(job.folder.parents[1].glob(f'*/{place}'))
    config = job.config(stage)
    return any(reuse(other, folder, config) for other in others)


def train(job: Job, stage: Stage, execute: Execute) -> None:
    """Write the stage's config and train it, or go on with that."""
    check_start(job, stage)
    folder = job.folder / stage.name
    path = config_file(folder)
    write(path, job.config(stage))
    command = tool('train', job.processes, path, '--resume')
    execute(f'{stage.name}, training', command)
    (folder / 'trained').touch()


def tool(name: str, processes: int, *arguments: object) -> list[str]:
    """The command of train.py or test.py, on several processes by torchrun."""
    command = [sys.executable]
    if processes > 1:
        command += ['-m', 'torch.distributed.run', '--standalone']
        command += [f'--nproc_per_node={processes}']
    command += [str(TOOLS / f'{name}.py'), *map(str, arguments)]
    return command + ['--launcher', 'pytorch'] * (processes > 1)
