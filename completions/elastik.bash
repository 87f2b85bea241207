# bash completion for elastik; printed by `elastik completions bash`

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
