/**
 * Everything that can happen to the disk of a store: `npx tsx --conditions=source test/sim/storage-faults/main.ts [stride]
 * [fail stride]`. Strides of 1 (the default) try every byte and every operation; that takes minutes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogKeys } from '../../../pkg/store/log-keys.ts';
import { FaultJudge } from '../../../pkg/store/testing/fault-judge.ts';
import { SWEEPS } from '../../../pkg/store/testing/fault-sweeps.ts';

const [stride = '1', failStride = '1'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'muster-fault-keys-'));
const { codec } = LogKeys.open(join(folder, 'keys.json'), { begin: true });
try {
  for (const { name, refuses, run } of SWEEPS) {
    const judge = new FaultJudge(Number(stride));
    for (const used of [undefined, codec]) {
      await run(judge, { codec: used, failStride: Number(failStride) });
    }
    const wrong = judge.counts.refused > 0 && !refuses;
    process.stdout.write(
      `${name}: ${judge.report}${wrong ? ' although nothing was damaged' : ''}\n`,
    );
    if (wrong) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
