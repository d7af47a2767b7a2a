#!/usr/bin/env bash
# The one gate: format, lint, types, layers, dead code, tidy, unit tests. Under a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d node_modules ] || npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
[ -x tools/node_modules/.bin/biome ] || npm run -s tools
PATH=$PWD/tools/node_modules/.bin:$PATH
biome ci .
node_modules/.bin/tsc -p .
depcruise cmd pkg --config .dependency-cruiser.mjs
knip
node_modules/.bin/vitest run --project unit --project tidy
