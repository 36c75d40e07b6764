"""A stranger's config, run, sweep or model does nothing: SECURITY.md, attack by attack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from tests.attacks import (
    CANARY,
    HYDRA,
    PAYLOADS,
    PLACES,
    SECRET,
    VARIABLE,
    laughs,
    nested,
    traces,
    with_payload,
)
from tests.training.processes import in_child
from transferlab import cli
from transferlab.backbone.weights import read_model
from transferlab.config.check import ConfigError
from transferlab.config.compose import compose_checked
from transferlab.config.instantiation import make
from transferlab.model.trained_head import permitted
from transferlab.run.environment import _git_commit
from transferlab.run.errors import UserError
from transferlab.run.processes import command
from transferlab.run.run_folder import Run
from transferlab.sweep.job import Job
from transferlab.sweep.slurm import slurm_launcher
from transferlab.sweep.slurm.array import Submitted
from transferlab.sweep.slurm.slurm_settings import SlurmSettings

TINY = [
    "strategy=fine_tune",
    "data.shots_per_class=2",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "hydra.run.dir=run",
]
LOCAL = {"_target_": "hydra_plugins.transferlab_plugins.LocalLauncher", "jobs_at_once": "auto"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """A recorded config that is right; each attack is put into a copy."""
    plain = OmegaConf.to_container(compose_checked(TINY).config)
    return {key: value for key, value in plain.items() if key != "allow"}


@pytest.fixture(autouse=True)
def _nothing_acts(monkeypatch, tmp_path):
    """Whatever a test opens: the canary is not made, and the secret stands nowhere."""
    monkeypatch.setenv(VARIABLE, SECRET)
    yield
    assert list(traces(tmp_path)) == []
    assert not Path("/tmp", CANARY).exists()


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """Run a verb that must refuse; its sentence."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert left.value.code in (1, 2), shown
        assert "Traceback" not in shown.err + shown.out
        assert SECRET not in shown.err + shown.out
        return shown.err + shown.out

    return run


def write_run(config: Any, *, status: str = "interrupted", folder: str = "run") -> Path:
    """A run folder as a stranger hands it over."""
    run = Path(folder)
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(yaml.safe_dump(config) if not isinstance(config, str) else config)
    (run / "result.json").write_text(json.dumps({"status": status}))
    (run / "environment.json").write_text("{}")
    (run / "model.safetensors").write_bytes(b"")
    return run


def write_sweep(config: Any, *, launcher: Any = LOCAL, folder: Any = "job-012345", base: Any = "job") -> Path:
    sweep = Path("sweep")
    sweep.mkdir(exist_ok=True)
    about = {"command": "x", "launcher": launcher, "sweeper": "hydra._internal.core_plugins.x"}
    (sweep / "sweep.json").write_text(json.dumps(about))
    job = {"base": base, "folder": folder, "inputs": {}, "config": config, "choices": {}}
    (sweep / "jobs.jsonl").write_text(json.dumps(job) + "\n")
    return sweep


# Each place and each payload is among the fast ones
ATTACKS = [
    pytest.param(place, name, marks=[] if (row + column) % 4 == 0 else pytest.mark.slow)
    for row, place in enumerate(PLACES)
    for column, name in enumerate(PAYLOADS)
]
VERBS = {"resume": "interrupted", "reproduce": "finished", "evaluate": "finished", "gap": "finished"}


@pytest.mark.parametrize(("place", "name"), ATTACKS)
def test_recorded_configs(place, name, config, refused):
    """Each place and payload by one verb, another for the next, so that each verb meets each payload."""
    verbs = list(VERBS)
    verb = verbs[list(PAYLOADS).index(name) % len(verbs)]
    if place == "allow":  # a permission that no file can give: what it names stays forbidden
        hostile = with_payload({**config, "allow": ["os"]}, "trainer.further.benchmark", PAYLOADS[name])
    else:
        hostile = with_payload(config, place, PAYLOADS[name])
    said = refused(verb, write_run(hostile, status=VERBS[verb]))
    assert "run/config.yaml" in said or place.partition(".")[0] in said or "trainer.further.benchmark" in said


@pytest.mark.parametrize("name", PAYLOADS)
def test_jobs_of_a_recorded_sweep(name, config, refused):
    first = list(PAYLOADS).index(name) % 4  # each place has its turn
    hostile = [with_payload(config, place, PAYLOADS[name]) for place in PLACES[first::4] if place != "allow"]
    sweep = write_sweep(hostile[0])
    lines = [
        {"base": f"j{n}", "folder": f"j{n}-012345", "inputs": {}, "config": each, "choices": {}}
        for n, each in enumerate(hostile)
    ]
    (sweep / "jobs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused("resume", sweep)
    for line in lines:
        result = json.loads((sweep / line["folder"] / "result.json").read_text())
        assert result["status"] == "failed"
        assert not (sweep / line["folder"] / "error.txt").exists()


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("key", ["head", "network"])
def test_models(key, name):
    payload = PAYLOADS[name]
    head = {"_target_": "transferlab.strategy.head.linear.Linear"}
    node = payload if "class" in name and isinstance(payload, dict) and "_target_" in payload else None
    about = {"architecture": "resnet18"} if key == "head" else {}
    about |= {"format": 1, "head": head, key: node or {**head, "x": payload}}
    Path("model").mkdir()
    Path("model/model.safetensors").write_bytes(b"")
    Path("model/model.json").write_text(json.dumps(about))
    with pytest.raises(UserError):
        permitted(read_model(Path("model")), key, [])


@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_is_made_of_a_live_text(name):
    """The builder itself, behind all checks, resolves nothing."""
    if isinstance(PAYLOADS[name], str):
        with pytest.raises(UserError, match=r"nothing is made of \$"):
            make({"_target_": "builtins.dict", "x": PAYLOADS[name]})


def write_experiment(content: Any) -> None:
    Path("conf/experiment").mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    Path("conf/experiment/evil.yaml").write_text(f"# @package _global_\n{text}")


EXPERIMENTS = [
    (place, name)
    for row, place in enumerate(PLACES)
    for column, name in enumerate(PAYLOADS)
    if (row + column) % 4 == 1
]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "name"), EXPERIMENTS)
def test_experiments(place, name, refused):
    write_experiment(nested(place, PAYLOADS[name]))
    refused("train", "experiment=evil", "hydra.run.dir=run")
    assert not Path("run").exists()


@pytest.mark.parametrize("name", ["class", "variable"])
def test_an_experiment_with_one_payload_in_many_places(name):
    """As above, faster: one composition, and each place is named in the refusal."""
    apart = ("name", "allow", "data.source", "strategy.head", "trainer.further", "trainer.further.benchmark")
    places = [place for place in PLACES if place not in apart]
    content: dict[str, Any] = {}
    for place in places:
        content = with_payload(content, place, PAYLOADS[name])
    write_experiment(content)
    with pytest.raises(ConfigError) as caught:
        compose_checked(["experiment=evil"])
    for place in places:
        assert any(problem.startswith(place) for problem in caught.value.problems), place


@pytest.mark.slow
@pytest.mark.parametrize("place", HYDRA)
@pytest.mark.parametrize("several", [[], ["-m"]], ids=["train", "train -m"])
def test_hydras_own_part(place, several, refused):
    write_experiment({"hydra": nested(place, HYDRA[place])})
    refused("train", *several, "experiment=evil")
    assert not Path("runs").exists()
    assert not Path("sweeps").exists()


def test_hydras_own_part_at_once():
    """As above, faster: what the rules can judge together."""
    alone = ("sweep.dir", "run.dir", "env.mine", "runtime.mine", "sweeper.max_batch_size", "help.header")
    places = [place for place in HYDRA if place not in alone]
    content: dict[str, Any] = {}
    for place in places:
        content = with_payload(content, place, HYDRA[place])
    write_experiment({"hydra": content})
    with pytest.raises(ConfigError) as caught:
        compose_checked(["experiment=evil"])
    said = " ".join(caught.value.problems)
    for place in places:
        assert f"hydra.{place.partition('.')[0]}" in said, place


def test_a_variable_deep_within_a_free_value():
    for text in (f"${{oc.env:{VARIABLE}}}", "${nope}", "${oc.env:TRANSFERLAB_NOT_SET}"):
        with pytest.raises(ConfigError, match=r"trainer\.further\.benchmark=\$\{\.\.\.\}: "):
            compose_checked([f"trainer.further.benchmark='{text}'"])


@pytest.mark.parametrize("key", ["shell_before", "further"])
def test_lines_of_shell_in_an_experiment(key):
    content = {"defaults": [{"override /hydra/launcher": "slurm"}], "hydra": {"launcher": {key: ["touch x"]}}}
    write_experiment(content)
    with pytest.raises(ConfigError, match=rf"hydra.launcher.{key}=\[touch x\]: a config file may not add"):
        compose_checked(["experiment=evil"])


@pytest.mark.parametrize("key", ["shell_before", "further"])
def test_lines_of_shell_of_a_launcher_of_ones_own(key):
    Path("conf/hydra/launcher").mkdir(parents=True)
    text = yaml.safe_dump({"defaults": ["slurm", "_self_"], key: ["module load cuda"]})
    Path("conf/hydra/launcher/mine.yaml").write_text(text)
    assert compose_checked(["hydra/launcher=mine"]).hydra.launcher[key] == ["module load cuda"]


SLURM = {"_target_": "hydra_plugins.transferlab_plugins.SlurmLauncher", "_convert_": "all"}
LAUNCHERS: dict[str, Any] = {
    "lines of shell": {**SLURM, "shell_before": [f"touch {CANARY}"]},
    "further options": {**SLURM, "further": [f"--wrap=touch {CANARY}"]},
    "a line in a name": {**SLURM, "partition": f"x\ntouch {CANARY}\n#"},
    "another class": {"_target_": "os.system", "command": f"touch {CANARY}"},
    "a class within": {**LOCAL, "jobs_at_once": {"_target_": "os.system", "command": f"touch {CANARY}"}},
    "a key that it has not": {**LOCAL, "mine": 1},
    "an interpolation": {**LOCAL, "jobs_at_once": f"${{oc.env:{VARIABLE}}}"},
    "no mapping": ["touch"],
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_recorded_launchers(name, config, refused):
    assert "launcher" in refused("resume", write_sweep(config, launcher=LAUNCHERS[name]))


NAMES = ("..", "../mine", "/tmp/mine", "a/b", "", ".", "a\nb", 3, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["folder", "base"])
@pytest.mark.parametrize("verb", ["resume", "compare"])
def test_names_of_jobs(verb, key, name, config, refused):
    rule = "must be the name of a folder" if isinstance(name, str) else "input should be a valid string"
    assert rule in refused(verb, write_sweep(config, **{key: name}))


@pytest.mark.parametrize("member", ["mine", *map(str, NAMES[:6])])
@pytest.mark.parametrize("verb", ["resume", "reproduce"])
def test_groups_that_name_others(verb, member, config, refused):
    mine = write_run(config, status="finished", folder="mine")
    before = sorted(mine.rglob("*"))
    run = write_run(config, status=VERBS[verb])
    (run / "group.json").write_text(json.dumps({"members": ["run", member]}))
    assert "group.json" in refused(verb, run)
    assert sorted(mine.rglob("*")) == before


@pytest.mark.parametrize("name", ["config.yaml", ".lock", "predictions", "evaluations", "reproductions"])
@pytest.mark.parametrize("verb", ["resume", "reproduce", "evaluate", "compare"])
def test_links_that_lead_out(verb, name, config, refused):
    Path("mine").mkdir()
    Path("mine/file").write_text("seed: 1\n")
    run = write_run(config, status=VERBS.get(verb, "finished"))
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(Path("mine/file" if "." in name else "mine").resolve())
    assert "this link leads out of" in refused(verb, run)
    assert [path.name for path in Path("mine").iterdir()] == ["file"]


@pytest.mark.parametrize("verb", ["resume", "evaluate", "compare", "gap"])
def test_anchors_without_bound_in_a_record(verb, refused):
    run = write_run(laughs(), status=VERBS.get(verb, "finished"))
    assert "its anchors expand to more than 100,000 values" in refused(verb, run)


def test_anchors_without_bound_in_an_experiment(refused):
    write_experiment(laughs())
    assert "its anchors expand to more than 100,000 values" in refused("train", "experiment=evil")
    write_experiment("a: &a [*a]\n")
    assert "its anchors refer to themselves" in refused("train", "experiment=evil")


@pytest.mark.parametrize("words", ["--hydra-help", "--info", "--info all", "-i config"])
def test_information_by_hydra(words, refused):
    handler = {"class": "logging.FileHandler", "filename": CANARY}
    write_experiment({"hydra": {"hydra_logging": {"version": 1, "handlers": {"x": handler}}}})
    assert "hydra.hydra_logging: only an option of Hydra's own" in refused(
        "train", *words.split(), "experiment=evil"
    )
    assert not Path(CANARY).exists()


def test_anchors_with_measure():
    write_experiment("trainer: &t {max_epochs: 3}\nfit: {ema_decay: null}\n")
    assert compose_checked(["experiment=evil"]).config.trainer.max_epochs == 3


def test_variables_that_a_config_may_read(monkeypatch):
    monkeypatch.setenv("TRANSFERLAB_NAME", "mine")
    monkeypatch.setenv("TRANSFERLAB_API_KEY", SECRET)
    assert compose_checked(["name='${oc.env:TRANSFERLAB_NAME}'"]).config.name == "mine"
    with pytest.raises(ConfigError, match="may not read the variable TRANSFERLAB_API_KEY"):
        compose_checked(["name='${oc.env:TRANSFERLAB_API_KEY}'"])


@pytest.mark.parametrize("start", [command("--version"), [sys.executable, "-m", "transferlab", "--version"]])
def test_modules_in_the_working_folder(start):
    for name in ("json", "importlib_metadata", "difflib", "torch", "yaml"):
        Path(f"{name}.py").write_text(f"import pathlib\npathlib.Path({CANARY!r}).touch()\n")
    safe = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    safe.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(start, env=safe, capture_output=True, text=True)
    assert done.stdout.startswith("transferlab "), done.stderr


def test_what_an_allowed_module_imports_is_not_allowed():
    Path("mine.py").write_text("import os\nfrom subprocess import Popen\n")
    for target in ("mine.os.system", "mine.Popen"):
        with pytest.raises(ConfigError, match=r"may not name this class|no such class"):
            compose_checked([f"strategy.head={{_target_: {target}}}", "allow=[mine]"])


def test_ids_of_slurm_jobs_that_a_record_names(monkeypatch, config):
    """One of mine that was submitted from elsewhere is neither waited for nor cancelled."""
    run, ours = Run("sweep/job"), Path("sweep/slurm")
    ours.mkdir(parents=True)
    (ours / "runs_of_7.json").write_text(json.dumps({"7": ["job"]}))
    Path("bin").mkdir()
    for name, line in {
        "squeue": "echo '7|RUNNING|/home/me/mine.sh'",
        "scontrol": ":",
        "scancel": f'test "$*" = 8 || touch {CANARY}',
    }.items():
        Path("bin", name).write_text(f"#!/bin/sh\n{line}\n")
        Path("bin", name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').resolve()}:{os.environ['PATH']}")
    submitted: list[str] = []

    def submit(groups: Any, *arguments: Any, after: str | None) -> list[Submitted]:
        submitted.extend(job.run.path.name for group in groups for job in group)
        os.kill(os.getpid(), signal.SIGINT)
        return [Submitted("8", groups[0])]

    monkeypatch.setattr(slurm_launcher, "submit", submit)
    settings = SlurmSettings(cancel_on_interrupt=True, poll_s=0.01)
    with pytest.raises(KeyboardInterrupt):
        slurm_launcher.launch([Job(OmegaConf.create(config), run, {}, [])], settings, Path("sweep"))
    assert submitted == ["job"]


def test_settings_of_wandb_in_the_working_folder():
    """They would name a server, which gets the user's key."""
    Path("wandb").mkdir()
    Path("wandb/settings").write_text("[default]\nbase_url = http://127.0.0.1:9\nentity = stranger\n")

    def starts() -> None:
        import wandb

        from transferlab.training.lightning import loggers

        wandb.teardown()
        logger = loggers.wandb(folder=str(Path("run").resolve()), run_id="x", mode="disabled")
        assert Path.cwd() == here
        settings = wandb.setup().settings
        assert settings.base_url != "http://127.0.0.1:9"
        assert settings.entity != "stranger"
        loggers.finish([logger], failed=False)

    here = Path.cwd()
    assert in_child(starts) == 0


GIT = {
    "core.fsmonitor": f"touch {CANARY}",
    "core.hooksPath": "hooks",
    "filter.x.clean": f"touch {CANARY}",
    "diff.external": f"touch {CANARY}",
    "include.path": "../further",
}


@pytest.mark.parametrize("key", GIT)
def test_repositories_that_name_commands(key):
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    git("init", "-q")
    Path("file").write_text("1")
    Path(".gitattributes").write_text("file filter=x\n")
    git("add", ".")
    git("commit", "-qm", "x")
    Path("file").write_text("22")
    Path("hooks").mkdir()
    Path("hooks/post-index-change").write_text(f"#!/bin/sh\ntouch {CANARY}\n")
    Path("hooks/post-index-change").chmod(0o755)
    Path("further").write_text(f'[filter "x"]\n\tclean = touch {CANARY}\n')
    clean = _git_commit(Path.cwd())
    assert str(clean).endswith("+changes")
    git("config", key, GIT[key])
    found = _git_commit(Path.cwd())
    assert str(found).endswith("+?")
