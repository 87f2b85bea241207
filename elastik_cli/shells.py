"""Completion scripts for bash, zsh and fish; they only carry words to the command and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from elastik_cli.config import replace_file

# The command answers `kind TAB value TAB help` a line. The scripts quote each value for their
# shell, keep a slash open, and leave kind `file` to the shell itself.
BASH = r"""# bash completion for elastik; printed by `elastik completions bash`

# What the shell would pass for a word as it is typed; QUOTE is the quote that is still open.
_elastik_plain() {
    local typed=$1 char i
    PLAIN= QUOTE=
    for ((i = 0; i < ${#typed}; i++)); do
        char=${typed:i:1}
        if [[ $char == "$QUOTE" ]]; then
            QUOTE=
        elif [[ $char == \\ && $QUOTE != \' ]]; then
            ((i++))
            PLAIN+=${typed:i:1}
        elif [[ -z $QUOTE && $char == [\"\'] ]]; then
            QUOTE=$char
        else
            PLAIN+=$char
        fi
    done
}

_elastik() {
    local IFS=$'\n' PLAIN QUOTE kind value line i rest=$COMP_LINE
    local -a typed=() given=()
    # bash cuts words at colons and equals signs too: join again what no blank divides.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        line=${rest#"${rest%%[!$' \t']*}"}
        if ((i)) && [[ $line == "$rest" ]]; then
            typed[${#typed[@]} - 1]+=${COMP_WORDS[i]}
        else
            typed+=("${COMP_WORDS[i]}")
        fi
        rest=${line#"${COMP_WORDS[i]}"}
    done
    local cur=${typed[${#typed[@]} - 1]}
    for ((i = 1; i < ${#typed[@]}; i++)); do
        _elastik_plain "${typed[i]}"
        given+=("$PLAIN")
    done
    # Only $2, the end of the word, is replaced: what stands before it must not come again.
    _elastik_plain "${cur%"$2"}"
    local before=$PLAIN quote=$QUOTE
    COMPREPLY=()
    while IFS=$'\t' read -r kind value _; do
        if [[ $kind == file ]]; then
            compopt -o filenames 2>/dev/null
            _elastik_plain "$2"
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$PLAIN")
            return
        fi
        [[ $value == */ ]] && compopt -o nospace 2>/dev/null
        value=${value#"$before"}
        case $quote in
        \") value=${value//\\/\\\\} value=${value//\"/\\\"} value=${value//\$/\\\$}
            COMPREPLY+=("${value//\`/\\\`}") ;;
        \') COMPREPLY+=("${value//\'/\'\\\'\'}") ;;
        *) COMPREPLY+=("$(printf '%q' "$value")") ;;
        esac
    done < <(_ELASTIK_COMPLETE=list command "${COMP_WORDS[0]}" "${given[@]}" 2>/dev/null)
}
complete -o nosort -F _elastik elastik 2>/dev/null || complete -F _elastik elastik
"""

ZSH = r"""#compdef elastik
# zsh completion for elastik; printed by `elastik completions zsh`
_elastik() {
    local line kind value help
    local -a given described open
    local -i i
    for ((i = 2; i <= CURRENT; i++)); do given+=("${(Q)words[i]}"); done
    while IFS=$'\t' read -r kind value help; do
        case $kind in
        file) _files; return ;;
        esac
        if [[ $value == */ ]]; then
            open+=("$value")
        elif [[ -n $help ]]; then
            described+=("${value//:/\\:}:$help")
        else
            compadd -- "$value"
        fi
    done < <(_ELASTIK_COMPLETE=list command ${words[1]} "${given[@]}" 2>/dev/null)
    (( $#described )) && _describe -V elastik described
    (( $#open )) && compadd -S '' -- "${open[@]}"
    return 0
}
if [[ $funcstack[1] == _elastik ]]; then _elastik "$@"; else compdef _elastik elastik; fi
"""

FISH = r"""# fish completion for elastik; printed by `elastik completions fish`
function __elastik_complete
    set -l given (commandline -opc)[2..] (commandline -ct | string unescape)
    _ELASTIK_COMPLETE=list command elastik $given 2>/dev/null | while read -l -d \t kind value help
        if test $kind = file
            __fish_complete_path (commandline -ct)
        else
            printf '%s\t%s\n' $value $help
        end
    end
end
complete -c elastik -f -a '(__elastik_complete)'
"""

SHELLS = {
    "bash": ("elastik.bash", BASH),
    "zsh": ("_elastik", ZSH),
    "fish": ("elastik.fish", FISH),
}


def script(shell: str) -> str:
    """The completion script of `shell`: bash, zsh or fish."""
    return SHELLS[shell][1]


def places(base: str | None = None) -> Iterator[tuple[str, Path]]:
    """(shell, file) where each shell looks for a user's own completions."""
    data = Path(base or os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    config = Path(base or os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    yield "bash", data / "bash-completion" / "completions" / "elastik"
    yield "zsh", data / "zsh" / "site-functions" / "_elastik"
    yield "fish", config / "fish" / "completions" / "elastik.fish"


def install(base: str | None = None) -> Iterator[Path]:
    """Write each script to its place; the files written."""
    for shell, path in places(base):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, script(shell).encode(), 0o644)
        yield path
