import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { LogKeys } from './log-keys.ts';
import { FaultJudge } from './testing/fault-judge.ts';
import { SWEEPS } from './testing/fault-sweeps.ts';

/** Few of the bytes; test/sim/storage-faults/main.ts takes every byte and every operation. */
const STRIDE = 211;
const FAIL_STRIDE = 5;
const LIMIT_MS = 120_000;

const folder = mkdtempSync(join(tmpdir(), 'muster-fault-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { codec } = LogKeys.open(join(folder, 'keys.json'), { begin: true });

for (const { name, refuses, run } of SWEEPS) {
  test(
    `${name}: all that was promised is there, or it is refused`,
    async () => {
      const judge = new FaultJudge(STRIDE);
      await run(judge, { codec: undefined, failStride: FAIL_STRIDE });
      await run(judge, { codec, failStride: FAIL_STRIDE });
      process.stdout.write(`${name}: ${judge.report}\n`);
      expect(judge.counts.exact).toBeGreaterThan(0);
      expect(judge.counts.refused > 0).toBe(refuses);
    },
    LIMIT_MS,
  );
}
