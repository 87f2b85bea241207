# fish completion for elastik; printed by `elastik completions fish`
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
