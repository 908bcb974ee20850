#!/bin/sh
# Tests and times Goldlap's CUDA backend on this machine's GPUs, and prints one table. Needs NVIDIA's driver, nothing else.
#
#   ./run                     conformance of every operator, kernel times beside their floors, all cases
#   ./run --quick [FILTER]    the same on the smallest model, and on the cases whose name contains FILTER
#
# GOLDLAP_PLATFORM=vcuda tries it out on the virtual driver. Everything it finds out lies in ./results: logs, kernel times, records,
# and the pending golden values of cases that have none for this platform: these fail until somebody has accepted them at home.
set -u
cd "$(dirname "$0")" || exit 1
export GOLDLAP_CACHE_DIR="${GOLDLAP_CACHE_DIR:-$PWD/cache}"
platform=${GOLDLAP_PLATFORM:-gpu}
driver=
if [ "$platform" = vcuda ]; then driver='bin/goldlap virtual-driver --'; fi

model=583m filter=gpt_dynamic_inference
case "${1-}" in
--quick) model=tiny filter=${2-dp1_tiny_logitsmatch} ;;
'') ;;
*) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac

mkdir -p results || exit 1
failed=0
table='| step | result | seconds | log |
|---|---|--:|---|'

step() { # step NAME COMMAND...
    name=$1
    shift
    printf '%s ...\n' "$name"
    start=$(date +%s)
    if "$@" >"results/$name.log" 2>&1; then result=passed; else result=FAILED failed=1; fi
    table="$table
| $name | $result | $(($(date +%s) - start)) | results/$name.log |"
    if [ "$result" = FAILED ]; then tail -n 20 "results/$name.log"; fi
}

conformance() { # a suite of which nothing ran has not passed
    $driver bin/conformance cuda_driver:: --ignored --test-threads 1 && grep -q '^test result: ok\. [1-9]' results/conformance.log
}

step conformance conformance
# Unquoted: no word, or the words of a command.
step kernel_times $driver bin/kernel_times "$model"
step cases bin/goldlap run "$filter" --cases test_cases --goldens golden_values --output results --platform "$platform" --json results/cases.json

echo
cat results/kernel_times.log
echo
printf '%s\n' "$table"
exit $failed
