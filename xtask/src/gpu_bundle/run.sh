#!/bin/sh
# Tests and times Goldlap's CUDA backend on this machine's GPUs, and prints one table. Needs NVIDIA's driver, nothing else.
#
#   ./run            conformance of every operator, kernel times beside their floors, all cases
#   ./run --quick    the same on the smallest model and one small case
#
# Everything it finds out lies in ./results: logs, kernel times, records, and pending goldens of this platform to bring home.
set -u
cd "$(dirname "$0")" || exit 1
export GOLDLAP_CACHE_DIR="${GOLDLAP_CACHE_DIR:-$PWD/cache}"

model=583m filter=gpt_dynamic_inference
case "${1-}" in
--quick) model=tiny filter=dp2_tiny_prefix_caching ;;
'') ;;
*) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 2 ;;
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
    bin/conformance cuda_driver:: --ignored --test-threads 1 && grep -q '^test result: ok\. [1-9]' results/conformance.log
}

step conformance conformance
step kernel_times bin/kernel_times "$model"
# The virtual driver is no GPU: where this is tried out on it, the cases show that they are there, on the CPU.
platform=gpu
[ "${GOLDLAP_VIRTUAL_DRIVER-}" = 1 ] && platform=cpu
step cases bin/goldlap run "$filter" --cases test_cases --goldens golden_values --output results --platform "${GOLDLAP_PLATFORM:-$platform}" --json results/cases.json

echo
cat results/kernel_times.log
echo
printf '%s\n' "$table"
exit $failed
