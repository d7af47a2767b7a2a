#!/usr/bin/env bash
# `npm test`: installs what is missing, builds, runs every kind of test, and closes with `N passed, N failed`.
# Arguments go to vitest: `npm test -- --project unit pkg/model`.
set -uo pipefail
cd "$(dirname "$0")/.."
bash tools/prepare.sh test || exit 1
npm run -s build || exit 1

report=$(mktemp)
trap 'rm -f "$report"' EXIT
export DO_NOT_TRACK=1 CI=${CI:-1}
timeout 5000 node_modules/.bin/vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" < /dev/null
status=$?
node tools/summary.mjs "$report" "$status"
