
# KFL within quotes: after `tapedeck kfl check '`, and after --kfl.
function __tapedeck_kfl
    tapedeck kfl complete --format whole -- (commandline -ct | string trim -l -c "'\"") 2>/dev/null
end
complete -c tapedeck -n "__fish_seen_subcommand_from kfl; and __fish_seen_subcommand_from check explain match convert" -f -a "(__tapedeck_kfl)"
complete -c tapedeck -l kfl -x -a "(__tapedeck_kfl)"
