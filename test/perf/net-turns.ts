/** Request-response rate between containers of two hosts: `npx tsx --conditions=source test/perf/net-turns.ts [--runs=5]`. */
import { measurePaths } from './net-paths.ts';

await measurePaths('turns', '/s');
