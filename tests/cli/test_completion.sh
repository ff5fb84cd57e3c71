#!/bin/bash
# What bash, zsh and fish make of the scripts of --completion when tab is pressed, as far as they are
# installed. $1: the program.
set -u
spillway=$1
# shellcheck source=tests/cli/common.sh
. "$(dirname "$0")/common.sh"

for shell in bash zsh fish; do
    sw --completion $shell
    expect 0 "--completion $shell"
    cp out $shell.completion
    command -v $shell >/dev/null || continue
    "$shell" -n $shell.completion 2>err || fail "$shell does not read it"
    # every verb's --help and the script know the same options
    for verb in $("$spillway" help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        for option in $("$spillway" "$verb" --help | sed -nE 's/^  (-[a-z],|   ) --([a-z0-9-]+).*/\2/p'); do
            case $shell in
            bash) grep -q "^    $verb) options=.* --${option}[ ']" bash.completion ;;
            zsh) sed -n "/^    $verb)/,/;;/p" zsh.completion | grep -q -- "--${option}[=[]" ;;
            fish) grep -q "__spillway_verb $verb' -l $option " fish.completion ;;
            esac || fail "$shell: $verb has no --$option"
        done
    done
done
sw --completion csh
expect 2 "a shell that is not known"
one_message "a shell that is not known" "bash, zsh and fish"
sw --completion
expect 2 "no shell"

# line TYPED WORD…: with tab at its end the line's words are these
line() {
    local typed=$1
    shift
    steps+=("type:$typed\t\n" "wait:$(printf '<%s>' "$@").")
}
mkdir some && touch some/where.jsonl
ran=
for shell in bash zsh; do
    command -v $shell >/dev/null || { echo "$shell is not installed: not tried"; continue; }
    ran+=" $shell"
    case $shell in
    bash) setup="source bash.completion" command=(bash --norc --noprofile -i) ;;
    zsh) setup="autoload -Uz compinit; compinit -u -D; source zsh.completion" command=(zsh -f -i) ;;
    esac
    # the program's place is taken by a function that prints its words
    steps=("type:$setup; spillway() { printf '<%s>' \"\$@\"; echo .; }; echo set''up\n" "wait:setup")
    line 'spillway quan' quantize
    line 'spillway help insp' help inspect
    line 'spillway run --share' run --share-gpus
    line 'spillway run --temper' run --temperature
    line 'spillway serve m --max-c' serve m --max-connections
    line 'spillway run --kv bf' run --kv bf16
    line 'spillway run --kv=bf' run --kv=bf16
    line 'spillway quantize a b -w iq4_n' quantize a b -w iq4_nl
    line 'spillway bench m --transport m' bench m --transport mpi
    line 'spillway batch m some/wh' batch m some/where.jsonl
    line 'spillway run --file some/wh' run --file some/where.jsonl
    python3 "$here/../typed.py" 600 "${steps[@]}" "type:exit\n" "end:0" -- "${command[@]}" >out 2>err || fail "$shell"
done
if command -v fish >/dev/null; then
    ran+=" fish"
    export HOME=$work
    said() { # TYPED WANTED: one of what fish offers
        fish -c "source fish.completion; complete -C '$1'" 2>err | cut -f 1 >out
        grep -qxF -- "$2" out || fail "fish: $1"
    }
    said 'spillway quan' quantize
    said 'spillway help insp' inspect
    said 'spillway run --temper' --temperature
    said 'spillway run --kv bf' bf16
    said 'spillway serve m --max-c' --max-connections
    said 'spillway batch m some/wh' some/where.jsonl
    fish -c "source fish.completion; complete -C 'spillway inspect --temp'" | grep -q temperature && fail "fish: inspect has --temperature"
else
    echo "fish is not installed: not tried"
fi
echo "completed in$ran"
finish
