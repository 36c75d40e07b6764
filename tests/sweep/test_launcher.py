"""What Hydra sees of the launcher: its config, the composed jobs, what it is told of their ends."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from hydra_plugins.transferlab_plugins import CommandLauncher, LocalLauncher, SlurmLauncher
from transferlab.config import config_files
from transferlab.config.compose import started
from transferlab.config.multirun import problems_of_launcher
from transferlab.sweep.hydra_sweep import SweepLoader, Task
from transferlab.sweep.local import local_launcher as launching
from transferlab.sweep.slurm import slurm_launcher as slurm_launch
from transferlab.sweep.slurm.slurm_settings import SlurmSettings

SHIPPED = config_files.shipped() / "hydra" / "launcher"


@pytest.fixture(autouse=True)
def _as_on_a_cluster(monkeypatch):
    monkeypatch.setattr("transferlab.config.multirun.shutil.which", lambda name: name)


@pytest.fixture
def loader():
    with started("train", None):
        setup_globals()
        yield GlobalHydra.instance().config_loader()


def master(loader, *overrides: str):
    return loader.load_configuration("train", ["hydra.sweep.dir=sweep", *overrides], RunMode.MULTIRUN)


def test_hydra_finds_it():
    found = [f"{each.__module__}.{each.__name__}" for each in Plugins.instance().discover(Launcher)]
    assert "hydra_plugins.transferlab_plugins.LocalLauncher" in found


@pytest.mark.parametrize(
    ("name", "launcher"), [("local", LocalLauncher), ("slurm", SlurmLauncher), ("command", CommandLauncher)]
)
def test_yaml_lists_what_it_takes(name, launcher):
    content = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
    assert content.pop("_target_") == f"{launcher.__module__}.{launcher.__name__}"
    content.pop("_convert_", None)
    taken = inspect.signature(launcher).parameters.values()
    assert list(content) == [argument.name for argument in taken]


def test_defaults_of_slurm_are_those_of_its_class(loader):
    launcher = Plugins.instance()._instantiate(master(loader, "hydra/launcher=slurm").hydra.launcher)
    assert asdict(launcher) == asdict(SlurmLauncher(shell_before=[], further=[]))


def test_defaults_of_a_command_are_those_of_its_class(loader):
    launcher = Plugins.instance()._instantiate(master(loader, "hydra/launcher=command").hydra.launcher)
    assert asdict(launcher) == asdict(CommandLauncher())


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["hydra.launcher.template='torchrun -m transferlab job {job}'"], []),
        ([], ["hydra.launcher.template: runs no job."]),
        (["hydra.launcher.template='run {jobb}'"], ["there is no {jobb}. Did you mean job?"]),
        (
            ["hydra.launcher.template='{command}'", "hydra.launcher.wait=records"],
            ["hydra.launcher.wait=records: must be command or record. Did you mean record?"],
        ),
        (
            ["hydra.launcher.template='{command}'", "hydra.launcher.alive='get {namee}'"],
            ["hydra.launcher.alive: there is no {namee}.", "alive has no effect without hydra.launcher.wait"],
        ),
        (
            ["hydra.launcher.template='{command}'", "hydra.launcher.cancel_on_interrupt=true"],
            ["cancel_on_interrupt=true: say how: hydra.launcher.cancel='...'"],
        ),
        (
            ["hydra.launcher.template='{command}'", "hydra.launcher.timeout_min=0"],
            ["hydra.launcher.timeout_min=0: must be"],
        ),
    ],
)
def test_faults_of_a_command(loader, overrides, said):
    found = problems_of_launcher(master(loader, "hydra/launcher=command", *overrides).hydra.launcher)
    assert len(found) == len(said)
    for problem, text in zip(found, said, strict=True):
        assert text in problem


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("slurm_*.yaml")), ids=lambda file: file.stem)
def test_presets_of_slurm_choose_among_its_settings(loader, file):
    keys = yaml.safe_load(file.read_text()).keys() - {"defaults"}
    assert keys <= {field.name for field in fields(SlurmLauncher)}
    assert problems_of_launcher(master(loader, f"hydra/launcher={file.stem}").hydra.launcher) == []


@pytest.mark.parametrize("preset", ["slurm", "slurm_gpu", "slurm_multi_gpu", "slurm_multi_node"])
def test_each_preset_fits_the_trainer_that_it_names(loader, preset):
    said = (SHIPPED / f"{preset}.yaml").read_text().partition("\n")[0]
    trainer = [word.rstrip(";") for word in said.split() if word.startswith("trainer")]
    config = master(loader, f"hydra/launcher={preset}", *trainer)
    given = {field.name: config.hydra.launcher[field.name] for field in fields(SlurmSettings)}
    assert SlurmSettings(**given).misfit(config) is None


def test_it_is_the_default(loader):
    assert master(loader).hydra.runtime.choices["hydra/launcher"] == "local"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["++seed=3"],
        ["strategy=partial", "++strategy.unfreezing.num_stages=2", "++data.batch_size=8"],
        ["++trainer={max_epochs: 3}", "strategy/penalty=[l1,l2_sp]"],
        ["++backbone.kwargs.new=1", "++name='a b'"],
        ["seed=3", "~logger"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_jobs_are_composed_as_by_hydra(loader, overrides):
    config = master(loader)
    quick = SweepLoader(loader)
    quick.load_sweep_config(config, ["++seed=9", "++trainer.max_steps=3", "++data.batch_size=3"])
    expected = loader.load_sweep_config(config, list(overrides))
    for _ in range(2):
        found = quick.load_sweep_config(config, list(overrides))
        assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
        assert OmegaConf.is_struct(found)


@dataclass
class _Launched:
    launcher: LocalLauncher
    returned: list[Any]
    jobs: list[Any]


@pytest.fixture
def launched(loader, monkeypatch):
    """What is launched and returned, where every job but that of seed 1 finishes."""

    def go(*overrides: str, sweeper: str = "basic") -> _Launched:
        asked: list[Any] = []

        def launch(jobs, *, jobs_at_once) -> None:
            asked.extend(jobs)
            for job in jobs:
                end = {"status": "failed", "error": "no"} if job.config.seed == 1 else {"status": "finished"}
                job.run.write_json("result.json", end)

        monkeypatch.setattr(launching, "launch", launch)
        config = master(loader)
        if sweeper != "basic":
            config.hydra.sweeper = OmegaConf.create({"_target_": sweeper})
        launcher = LocalLauncher(jobs_at_once=2)
        context = HydraContext(config_loader=loader, callbacks=None)
        launcher.setup(hydra_context=context, task_function=Task(), config=config)
        returned = launcher.launch([[text] for text in overrides], 4)
        return _Launched(launcher, list(returned), asked)

    return go


def test_slurm_is_told_the_settings_and_the_folder_of_the_sweep(loader, monkeypatch):
    asked = []

    def launch(jobs, settings, folder) -> None:
        asked.append(([job.config.seed for job in jobs], settings, folder))
        for job in jobs:
            job.run.write_json("result.json", {"status": "finished"})

    monkeypatch.setattr(slurm_launch, "launch", launch)
    launcher = SlurmLauncher(partition="gpu", poll_s=0.5)
    context = HydraContext(config_loader=loader, callbacks=None)
    launcher.setup(hydra_context=context, task_function=Task(), config=master(loader))
    returned = launcher.launch([["++seed=3"], ["++seed=4"]], 0)
    assert asked == [([3, 4], SlurmSettings(partition="gpu", poll_s=0.5), Path("sweep").resolve())]
    assert [each.status for each in returned] == [JobStatus.COMPLETED] * 2


def test_jobs_have_their_own_folders_and_numbers(launched):
    found = launched("++seed=0", "++seed=2")
    assert [job.config.seed for job in found.jobs] == [0, 2]
    folders = [job.run.path for job in found.jobs]
    assert [folder.parent for folder in folders] == [Path("sweep").resolve()] * 2
    assert [folder.name.partition("_")[0] for folder in folders] == ["seed=0", "seed=2"]
    assert found.launcher.sweep.task.plan.runs == [job.run for job in found.jobs]
    assert "hydra" not in found.jobs[0].config
    assert found.jobs[0].config.name == "fine_tune"
    assert found.jobs[0].choices["strategy"] == "fine_tune"


def test_hydras_own_sweeper_goes_on_after_a_failure(launched):
    returned = launched("++seed=0", "++seed=1").returned
    assert [each.status for each in returned] == [JobStatus.COMPLETED] * 2
    assert [each.return_value for each in returned] == [None, None]


def test_other_sweepers_are_told_of_a_failure(launched):
    returned = launched("++seed=0", "++seed=1", sweeper="hydra_plugins.other.Sweeper").returned
    assert [each.status for each in returned] == [JobStatus.COMPLETED, JobStatus.FAILED]
    with pytest.raises(RuntimeError, match="no"):
        _ = returned[1].return_value


def test_a_job_with_a_wrong_config_is_recorded_and_not_launched(launched):
    found = launched("++seed=0", "++data.batch_size=0")
    assert len(found.jobs) == 1
    assert [run.status for run in found.launcher.sweep.task.plan.runs] == ["finished", "failed"]
    assert "data.batch_size=0: must be at least 1." in found.launcher.sweep.task.plan.runs[1].result["error"]
