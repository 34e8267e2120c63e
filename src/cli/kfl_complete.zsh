
# KFL within quotes: after `tapedeck kfl check '`, and after --kfl.
_tapedeck_with_kfl() {
    local last="${words[CURRENT-1]}"
    if [[ "$last" == --kfl ]] || [[ -n "${words[(r)kfl]}" && "$last" == (check|explain|match|convert|complete) ]]; then
        local text="${words[CURRENT]}"
        local -a proposals
        # The quote that is open is the shell's, not the query's.
        [[ "$text" == [\'\"]* ]] && text="${text[2,-1]}"
        proposals=("${(@f)$(command tapedeck kfl complete --format whole -- "$text" 2>/dev/null)}")
        proposals=("${(@)proposals:#}")
        (( $#proposals )) || return 1
        # Proposals are whole texts, the best first.
        compadd -U -V kfl -S '' -- "${proposals[@]}"
        # What was typed stays where the proposals do not all begin with it.
        if (( $#proposals > 1 )) && [[ "${compstate[unambiguous]}" != "$text"* ]]; then
            compstate[insert]='' compstate[list]='list force'
        fi
        return 0
    fi
    _tapedeck "$@"
}
compdef _tapedeck_with_kfl tapedeck
