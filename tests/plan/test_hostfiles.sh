#!/bin/bash
# The example clusters in hostfiles/ with models of true size: the plan of each is a golden.
# SW_UPDATE_GOLDENS=1 writes them anew. $1: the program.
set -u
spillway=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export LC_ALL=C.UTF-8 COLUMNS=100
failed=0

# name, expected exit code, model, cluster, more options
check() {
    local name=$1 expected=$2 model=$3 cluster=$4
    shift 4
    local golden=$here/golden/$name actual code
    actual=$("$spillway" plan "$here/configs/$model" --cluster "$cluster" "$@" 2>/dev/null)
    code=$?
    if [ $code -ne "$expected" ]; then
        echo "$name: exit code $code, expected $expected"
        failed=1
    fi
    if [ "${SW_UPDATE_GOLDENS:-}" = 1 ]; then
        printf '%s\n' "$actual" >"$golden"
    elif ! diff -u "$golden" <(printf '%s\n' "$actual"); then
        echo "$name: not as the golden says; SW_UPDATE_GOLDENS=1 accepts it"
        failed=1
    fi
}

hosts=$root/hostfiles
check student.txt 0 gpt-j-6b "$hosts/student"
check student-neox.txt 4 gpt-neox-20b "$hosts/student"
check lab.txt 0 opt-30b "$hosts/lab"
check lab.json 0 opt-30b "$hosts/lab" --json
check lab.svg 0 opt-30b "$hosts/lab" --svg
check lab-slices.txt 0 gpt-neox-20b "$hosts/lab" --slices 20,24
check lab-opt-66b.txt 4 opt-66b "$hosts/lab"
check lab-opt-66b.json 4 opt-66b "$hosts/lab" --json
check lab-capped.txt 4 gpt-neox-20b "$hosts/lab" --gpu-memory 2GiB --host-memory 8GiB
check lab2.txt 0 opt-66b "$hosts/lab2"
check lab2-throughput.txt 0 opt-66b "$hosts/lab2" --objective throughput --slots 16
check cpu-only.txt 0 mixtral-8x7b "$hosts/cpu-only"
check big.txt 0 llama-3.1-405b "$hosts/big" --context 8192
check big-throughput.json 0 bloom "$hosts/big" --objective throughput --slots 64 --json

# no plan is wider than the terminal that was asked for by much, nor in plain ASCII anything else
ascii=$(LC_ALL=C "$spillway" plan "$here/configs/opt-30b" --cluster "$hosts/lab" 2>/dev/null)
if printf '%s' "$ascii" | LC_ALL=C grep -q '[^ -~]'; then
    echo "the plan for an ASCII terminal has other characters"
    failed=1
fi
# a bad cluster, slices that do not add up, an unknown objective
for bad in "--cluster (host:5X):3" "--cluster no-such-file:3" "--slices 20,20:2" \
    "--objective speed:2" "--ranks 7:2"; do
    code=${bad##*:}
    "$spillway" plan "$here/configs/opt-30b" --cluster "$hosts/lab" ${bad%:*} >/dev/null 2>&1
    if [ $? -ne "$code" ]; then
        echo "$bad: another exit code"
        failed=1
    fi
done
exit $failed
