#!/bin/sh
# What `report.demo.v1` of examples/runner.yaml runs: takes a day, says how far it is, gives a report as JSON.
# Usage: daily-report.sh DAY [SECONDS]
set -eu
day=$1
seconds=${2:-2}

step=0
while [ "$step" -lt "$seconds" ]; do
    step=$((step + 1))
    # Standard error shows in the run's `progress` query while it works.
    echo "step $step of $seconds for $day" >&2
    sleep 1
done

# Files left here are listed among the run's artifacts.
echo "report for $day" >"$TEMPORAL_REGISTRY_ARTIFACT_DIR/report.txt"

printf '{"day": "%s", "lines": %s, "mode": "%s"}\n' "$day" "$seconds" "${MODE:-none}"
