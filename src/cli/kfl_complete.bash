
# KFL within quotes: after `tapedeck kfl check '`, after --kfl, and so on.
_tapedeck_with_kfl() {
    local word="${COMP_WORDS[COMP_CWORD]}" last="${COMP_WORDS[COMP_CWORD - 1]}"
    local is_kfl=""
    case "$last" in
        --kfl) is_kfl=1 ;;
        check | explain | match | convert | complete) [[ " ${COMP_WORDS[*]} " == *" kfl "* ]] && is_kfl=1 ;;
    esac
    if [[ -n "$is_kfl" && "$word" != -* ]]; then
        local quote="" text="$word"
        case "$word" in
            \'* | \"*) quote="${word:0:1}" text="${word:1}" ;;
        esac
        # Without quotes the shell takes KFL apart.
        [[ -z "$quote" && -n "$text" && "$text" == *[!A-Za-z0-9_.]* ]] && return 0
        local IFS=$'\n'
        COMPREPLY=($(command tapedeck kfl complete --format whole -- "$text" 2>/dev/null))
        compopt -o nospace 2>/dev/null
        return 0
    fi
    _tapedeck "$@"
}
complete -F _tapedeck_with_kfl -o nosort -o bashdefault -o default tapedeck
