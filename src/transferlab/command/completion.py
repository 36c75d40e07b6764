"""`transferlab completion`: a script that completes verbs, groups, options and keys in a shell."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from transferlab.run.errors import UserError

_BASH = """\
_transferlab() {
    local words="train resume reproduce evaluate inspect list gap compare average tune features completion"
    local current="${COMP_WORDS[COMP_CWORD]}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=( $(compgen -W "$words --help --version" -- "$current") )
    elif [ "${COMP_WORDS[1]}" = list ]; then
        COMPREPLY=( $(compgen -W "backbones strategies data experiments" -- "$current") )
    elif [ "${COMP_WORDS[1]}" = features ]; then
        COMPREPLY=( $(compgen -W "list clear" -- "$current") )
    elif [ "${COMP_WORDS[1]}" = completion ]; then
        COMPREPLY=( $(compgen -W "bash zsh fish" -- "$current") )
    elif [ "${COMP_WORDS[1]}" = train ] && [[ "$current" == -* ]]; then
        local options="--multirun --cfg --resolve --package --info --config-dir --config-name --help"
        COMPREPLY=( $(compgen -W "$options" -- "$current") )
    elif [ "${COMP_WORDS[1]}" = train ] && [[ "$current" == *[./]root=* || "$current" == *.dir=* ]]; then
        COMPREPLY=( $(compgen -d -P "${current%%=*}=" -- "${current#*=}") )
        compopt -o nospace
    elif [ "${COMP_WORDS[1]}" = train ]; then
        local line="${COMP_LINE/transferlab train/transferlab}"
        COMPREPLY=( $(COMP_LINE="$line" COMP_POINT="${#line}" transferlab train -sc query=bash 2>/dev/null) )
        [[ "${COMPREPLY[0]}" == *[=/.] ]] && compopt -o nospace
    else
        COMPREPLY=( $(compgen -d -- "$current") )
    fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -F _transferlab transferlab
"""
_ZSH = "autoload -Uz bashcompinit && bashcompinit\n" + _BASH
_FISH = """\
function __transferlab_query
    set -l line (string replace 'transferlab train' 'transferlab' -- (commandline -cp))
    env COMP_LINE="$line" transferlab train -sc query=fish 2>/dev/null
end
complete -c transferlab -f
complete -c transferlab -n '__fish_use_subcommand' -a 'train resume reproduce evaluate inspect list'
complete -c transferlab -n '__fish_use_subcommand' -a 'gap compare average tune features completion'
complete -c transferlab -n '__fish_seen_subcommand_from list' -a 'backbones strategies data experiments'
complete -c transferlab -n '__fish_seen_subcommand_from features' -a 'list clear'
complete -c transferlab -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'
complete -c transferlab -n '__fish_seen_subcommand_from train' -a '(__transferlab_query)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def run(arguments: Sequence[str]) -> int:
    """Print the script: `eval "$(transferlab completion bash)"`."""
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        given = " ".join(arguments) or "nothing"
        raise UserError(f"transferlab completion takes one of {', '.join(SCRIPTS)}, not {given}.")
    sys.stdout.write(SCRIPTS[arguments[0]])
    return 0
