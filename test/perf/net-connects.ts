/** Connections between containers of two hosts: `npx tsx --conditions=source test/perf/net-connects.ts [--runs=5]`. */
import { measurePaths } from './net-paths.ts';

await measurePaths('connects', '/s');
