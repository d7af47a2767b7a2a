/** TCP throughput between containers of two hosts: `npx tsx --conditions=source test/perf/net-throughput.ts [--runs=5]`. */
import { measurePaths } from './net-paths.ts';

await measurePaths('stream', 'Gbit/s');
