#!/usr/bin/env bash
# `npm run lab -- …`: builds if there is no build yet, then runs the lab's own program.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ ! -e dist/lab.js ]; then
  bash tools/prepare.sh run
  npm run -s build
fi
exec node dist/lab.js "$@"
