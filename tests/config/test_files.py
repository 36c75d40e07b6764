"""What a user reads when one of his files is wrong, and what he may do in them."""

from __future__ import annotations

import pytest

from transferlab.config.compose import compose_checked

SOFTENED = """\
from transferlab.strategy.parts import Objective, Losses


class Softened(Objective):
    def __init__(self, *, gamma: float, balance: bool = False) -> None:
        super().__init__()
        self.gamma = gamma

    def losses(self, network, batch, progress):
        raise NotImplementedError
"""


def experiment(body: str) -> str:
    return "# @package _global_\n" + body


def test_typo_in_an_experiment(problems, write):
    write("conf/experiment/mine.yaml", experiment("sead: 3\nstrategy: {learning_rates: {bsae: 0.1}}\n"))
    assert problems("experiment=mine") == [
        "strategy.learning_rates.bsae: there is no such key. Did you mean strategy.learning_rates.base? "
        "(in conf/experiment/mine.yaml)",
        "sead: there is no such key. Did you mean seed? (in conf/experiment/mine.yaml)",
    ]


@pytest.mark.parametrize("folder", ["conf", "elsewhere/configs"])
def test_typo_in_an_own_preset(problems, write, folder):
    write(f"{folder}/strategy/mine.yaml", "defaults: [fine_tune, _self_]\nhead_dropuot: 0.5\n")
    places = {} if folder == "conf" else {"config_dir": folder}
    assert problems("strategy=mine", **places) == [
        "strategy.head_dropuot: there is no such key. Did you mean strategy.head_dropout? "
        f"(in {folder}/strategy/mine.yaml)"
    ]


def test_typo_in_what_a_preset_builds_on(problems, write):
    write("conf/strategy/basis.yaml", "defaults: [fine_tune, _self_]\nhead_dropuot: 0.5\n")
    write("conf/strategy/mine.yaml", "defaults: [basis, _self_]\n")
    write("conf/strategy/unused.yaml", "head_dropuot: 0.5\n")
    assert problems("strategy=mine")[0].endswith("(in conf/strategy/basis.yaml)")


def test_wrong_value_in_a_file_is_the_command_lines_when_given_there(problems, write):
    write("conf/experiment/mine.yaml", experiment("seed: x\n"))
    assert problems("experiment=mine") == [
        "seed=x: must be a whole number, not text. (in conf/experiment/mine.yaml)"
    ]
    assert problems("experiment=mine", "seed=y") == ["seed=y: must be a whole number, not text."]
    assert problems("experiment=mine", "seed=3") == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("seed: [1\nname: x\n", "line 3: this is not readable YAML (expected ',' or ']', but got ':')."),
        ("seed: 1\nseed: 2\n", "line 3: this is not readable YAML (found duplicate key seed)."),
    ],
)
def test_broken_yaml(problems, write, body, text):
    write("conf/experiment/mine.yaml", experiment(body))
    assert problems("experiment=mine") == [f"conf/experiment/mine.yaml, {text}"]


def test_experiment_without_its_first_line(problems, write):
    write("conf/experiment/mine.yaml", "seed: 1\n")
    assert problems("experiment=mine") == [
        "conf/experiment/mine.yaml: an experiment begins with the line '# @package _global_'; "
        "this one does not."
    ]


def test_experiment_that_chooses_wrongly(problems, write):
    write("conf/experiment/mine.yaml", experiment("defaults: [{override /strategy: fine_tun}]\n"))
    (text,) = problems("experiment=mine")
    assert text.startswith("strategy=fine_tun: there is no such option. Did you mean fine_tune? Options: ")
    assert text.endswith("(in conf/experiment/mine.yaml)")
    write("conf/experiment/mine.yaml", experiment("defaults: [{override /stratgy: dann}]\n"))
    assert problems("experiment=mine") == [
        "stratgy: the config that is chosen has no such part to replace. Did you mean strategy? "
        "(in conf/experiment/mine.yaml)"
    ]


def test_file_in_another_encoding(problems):
    from pathlib import Path

    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_bytes(b"# @package _global_\nname: \xe9\n")
    (text,) = problems("experiment=mine")
    assert text == "conf/experiment/mine.yaml, line 2: this is not UTF-8 text. Fix: save it as UTF-8."


def test_seed_zero_counts_even_where_an_experiment_sets_one(write):
    write("conf/experiment/mine.yaml", experiment("seed: 7\n"))
    assert compose_checked(["seed=0"]).config.seed == 0
    composed = compose_checked(["experiment=mine"])
    assert (composed.config.seed, composed.config.name) == (7, "mine")
    assert composed.config.data.shots_seed == 7
    assert compose_checked(["experiment=mine", "seed=0"]).config.seed == 0
    assert compose_checked(["seed=0", "experiment=mine"]).config.seed == 0


def test_config_dir_brings_experiments_and_primary_configs(write):
    write("there/experiment/mine.yaml", experiment("seed: 7\n"))
    write("there/other.yaml", "defaults: [train, _self_]\nseed: 9\n")
    assert compose_checked(["experiment=mine"], config_dir="there").config.seed == 7
    assert compose_checked([], config_dir="there", config_name="other").config.seed == 9
    assert compose_checked(["experiment=mine", "hydra.searchpath=[file://there]"]).config.seed == 7


def test_own_class_in_an_own_file(problems, write):
    write("my_parts.py", SOFTENED)
    write("conf/strategy/objective/softened.yaml", "_target_: my_parts.Softened\ngamma: 2.0\n")
    forbidden = (
        "strategy.objective._target_=my_parts.Softened: a config may not name this class. If it is your own, "
        "allow its module on the command line: allow=[my_parts]. (in conf/strategy/objective/softened.yaml)"
    )
    chosen = "strategy/objective=softened"
    assert problems(chosen) == [forbidden]
    assert problems(chosen, "allow=[my_part]") == [forbidden]
    assert problems(chosen, "allow=[my_parts]") == []
    assert problems(chosen, "allow=[my_parts.Softened]") == []
    assert problems(chosen, "allow=my_parts") == [
        "allow=my_parts: must be a list of text, not text. Write allow=[my_parts]."
    ]
    assert problems(chosen, "allow=[my_parts]", "strategy.objective.gama=1") == [
        "strategy.objective.gama: there is no such key. Did you mean strategy.objective.gamma?"
    ]
    assert problems(chosen, "allow=[my_parts]", "strategy.objective.gamma=high") == [
        "strategy.objective.gamma=high: must be a number, not text."
    ]
    assert problems(chosen, "allow=[my_parts]", "~strategy.objective.gamma") == [
        "strategy.objective.gamma has no value. Set it: strategy.objective.gamma=... (a number)."
    ]


def test_own_class_that_is_not_there(problems):
    assert problems("strategy.objective={_target_:my_parts.Softened}", "allow=[my_parts]") == [
        "strategy.objective._target_=my_parts.Softened: there is no such class. "
        "Is its module here, and free of syntax errors?"
    ]


def test_a_file_can_not_allow(problems, write):
    write("my_parts.py", SOFTENED)
    write(
        "conf/experiment/mine.yaml",
        experiment("allow: [my_parts]\ndefaults: [{override /strategy/objective: softened}]\n"),
    )
    write("conf/strategy/objective/softened.yaml", "_target_: my_parts.Softened\ngamma: 2.0\n")
    first, second = problems("experiment=mine")
    assert first == (
        "allow: a config file cannot allow classes. Give it on the command line: allow=[my_parts]."
    )
    assert second.startswith(
        "strategy.objective._target_=my_parts.Softened: a config may not name this class."
    )
    assert problems("experiment=mine", "allow=[my_parts]") == []


def test_a_class_that_an_interpolation_makes(problems, write):
    write(
        "conf/experiment/mine.yaml",
        experiment("trainer: {further: {plugins: '${oc.create:{_target_:os.system}}'}}\n"),
    )
    (text,) = problems("experiment=mine")
    assert "there is no function oc.create." in text


def test_shadowing_is_told(write):
    write("conf/strategy/fine_tune.yaml", "head_dropout: 0.5\n")
    composed = compose_checked([])
    assert composed.config.strategy.head_dropout == 0.0
    assert composed.warnings == [
        "conf/strategy/fine_tune.yaml is not read: "
        "transferlab has its own strategy/fine_tune.yaml. Rename yours."
    ]


def test_section_without_a_class(problems, write):
    write("conf/trainer/mine.yaml", "max_epochs: 3\n")
    assert problems("trainer=mine") == [
        "trainer: no class is named (_target_). Choose an option: trainer=... "
        "(auto, cpu, ddp, ddp_multi_node, gpu)."
    ]


@pytest.mark.parametrize("content", ["false", "3.5"])
def test_a_config_that_is_no_mapping(problems, write, content):
    write("conf/experiment/mine.yaml", f"# @package _global_\n{content}\n")
    assert problems("experiment=mine") == [
        "conf/experiment/mine.yaml: a config is a mapping of keys. Fix: KEY: VALUE."
    ]
