# bash completion for elastik; printed by `elastik completions bash`
_elastik() {
    local IFS=$'\n' line kind value cur words cword
    # Without bash-completion the words are cut at colons: join them again from the line itself.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n ':=' cur words cword
    else
        cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    fi
    local -a given=()
    local i word
    for ((i = 1; i <= cword; i++)); do
        word=${words[i]}
        # What stands on the line is quoted; the command gets what the shell would pass.
        if [[ $word == *[\\\"\'\ ]* ]]; then
            word=${word#[\"\']}
            word=${word%[\"\']}
            word=${word//\\/}
        fi
        given+=("$word")
    done
    COMPREPLY=()
    while IFS=$'\t' read -r kind value _; do
        if [[ $kind == file ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$cur")
            return
        fi
        case $cur in
        [\"\']*) COMPREPLY+=("$value") ;;
        *) COMPREPLY+=("$(printf '%q' "$value")") ;;
        esac
        [[ $value == */ ]] && compopt -o nospace 2>/dev/null
    done < <(_ELASTIK_COMPLETE=list command "${words[0]}" "${given[@]}" 2>/dev/null)
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$cur"
    fi
}
complete -o nosort -F _elastik elastik 2>/dev/null || complete -F _elastik elastik
