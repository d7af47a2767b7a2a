import { beforeEach, expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import { Audit, type AuditedPart } from './audit.ts';
import { FakeKernel } from './kernel/fake.ts';
import type { Change } from './kernel/kernel.ts';

let kernel: FakeKernel;
let audit: Audit;
/** What each part was asked to look at, and how many differences it finds from now on. */
let looks: string[];
let wrong: Record<string, number>;
let gone: Set<string>;

const parts = (): readonly AuditedPart[] =>
  ['hub', 'container'].map((name) => ({
    namespace: kernel.open(name),
    isThere: () => !gone.has(name),
    look: (changes: ReadonlySet<Change>, note) => {
      looks.push(`${name}: ${[...changes].join()}`);
      note(name, wrong[name] ?? 0);
    },
  }));
const changed = (): readonly string[] => audit.changed(parts).findings;

beforeEach(() => {
  kernel = new FakeKernel();
  for (const name of ['hub', 'container']) kernel.createNamespace(name);
  audit = new Audit(silentLogger, kernel.watch());
  looks = [];
  wrong = {};
  gone = new Set();
});

test('only what somebody touched is looked at, and only as far as it was touched', () => {
  expect(changed()).toEqual([]);
  wrong = { hub: 2 };
  kernel.touch('hub', 'entries');
  kernel.touch('hub', 'links');
  expect(changed()).toEqual(['hub: 2']);
  expect(looks).toEqual(['hub: entries,links']);
  expect(audit.total).toBe(1);
  changed();
  expect(looks).toHaveLength(1);
});

test('what is touched all the time is looked at after every fifth call, and nothing is forgotten meanwhile', () => {
  for (let call = 0; call < 13; call++) {
    kernel.touch('hub', call === 1 ? 'entries' : 'links');
    changed();
  }
  expect(looks).toEqual(['hub: links', 'hub: entries,links', 'hub: links']);
  kernel.touch('container', 'tables');
  changed();
  expect(looks.at(-1)).toBe('container: tables');
});

test('a full round looks at everything that is still there', async () => {
  wrong = { container: 1 };
  expect(await audit.everything(parts())).toEqual({ repairs: 1, findings: ['container: 1'] });
  expect(looks).toEqual(['hub: links,entries,tables', 'container: links,entries,tables']);
  const round = audit.everything(parts());
  gone.add('container');
  expect((await round).findings).toEqual([]);
});

test('a part that cannot be put right does not hide what others needed', async () => {
  const broken: AuditedPart = {
    isThere: () => true,
    look: () => {
      throw new Error('refused');
    },
  };
  wrong = { hub: 1 };
  await expect(audit.everything([...parts(), broken])).rejects.toThrow('refused');
  expect(audit.total).toBe(1);
});

test('a round leaves the processor to others between its parts, for a second at most', async () => {
  const work = (ms: number): AuditedPart => ({
    isThere: () => true,
    look: () => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    },
  });
  const tookMs = async (...parts: AuditedPart[]): Promise<number> => {
    const begun = performance.now();
    await audit.everything(parts);
    return performance.now() - begun;
  };
  expect(await tookMs(work(20), work(20))).toBeGreaterThan(150);
  const long = await tookMs(...Array.from({ length: 20 }, () => work(40)));
  expect(long).toBeGreaterThan(1_750);
  expect(long).toBeLessThan(4_000);
});
