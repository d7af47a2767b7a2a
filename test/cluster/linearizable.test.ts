/**
 * Managers are killed, halted or cut off while clients write and read through all of them; then one single copy must
 * explain all that the clients were told. `ROUNDS=50 npm test -- --project cluster test/cluster/linearizable.test.ts` is the long run.
 */
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../deploy/lab/api.ts';
import type { Host } from '../../deploy/lab/host.ts';
import { Lab } from '../../deploy/lab/lab.ts';
import { describeViolation, findViolation } from '../linearizable/checker.ts';
import { History, type Operation } from '../linearizable/history.ts';
import {
  namedRegister,
  type RegisterInput,
  type RegisterOutput,
} from '../linearizable/named-register.ts';
import { Random } from '../sim/raft/random.ts';
import { eventually } from './cluster.ts';
import { kernelState } from './kernel-state.ts';
import { ConfigClient, type ConfigJson, type Counts } from './linearizable-load.ts';
import { leadingHost } from './role.ts';

const NAME = 'linear';
const ROUNDS = Number(process.env['ROUNDS'] ?? 7);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const CLIENTS = 6;
const ROUND_MS = 60_000;
const FAULTS = [
  'leader',
  'everyManager',
  'haltedLeader',
  'everyHost',
  'cutOffLeader',
  'anyManager',
  'cutPath',
] as const;
/** How long a manager is halted or cut off: shorter and longer than the others need to elect another one. */
const [OUTAGE_MIN_MS, OUTAGE_MAX_MS] = [300, 4000];
/** `FAULT=everyManager`: this one only. */
const ONLY = FAULTS.find((fault) => fault === process.env['FAULT']);

let lab: Lab;

beforeAll(async () => {
  if (existsSync(`/var/lib/muster/labs/${NAME}`)) await Lab.open(NAME).down();
  lab = await Lab.up({ name: NAME, managers: 3, agents: 0, join: true });
});

afterAll(async () => {
  await lab?.down();
  expect(kernelState(NAME).filter((line) => line.includes(`mu-${NAME}`))).toEqual([]);
});

test(`what ${ROUNDS} rounds of lost managers left is what the clients were told (seed ${SEED})`, {
  timeout: 120_000 + ROUNDS * ROUND_MS,
}, async () => {
  const random = new Random(SEED);
  const total: Counts = { done: 0, refused: 0, unknown: 0, reads: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const fault = ONLY ?? FAULTS[round % FAULTS.length] ?? 'leader';
    const { operations, counts } = await playRound(`${round}`, fault, random);
    for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
    judge(operations, `round ${round}, ${fault}, seed ${SEED}`);
  }
  process.stdout.write(`linearizable: ${ROUNDS} rounds, ${JSON.stringify(total)}\n`);
  expect(total.done).toBeGreaterThan(ROUNDS * 50);
  expect(total.refused).toBeGreaterThan(ROUNDS);
  expect(total.reads).toBeGreaterThan(ROUNDS * 50);
  // Something was under way when they were killed.
  expect(total.unknown).toBeGreaterThan(0);
});

interface Round {
  readonly operations: readonly Operation<RegisterInput, RegisterOutput>[];
  readonly counts: Counts;
}

async function playRound(
  round: string,
  fault: (typeof FAULTS)[number],
  random: Random,
): Promise<Round> {
  const history = new History<RegisterInput, RegisterOutput>(() => performance.now());
  const abort = new AbortController();
  const sockets = lab.hosts.map((host) => host.socket);
  const options = { sockets, history, random: (): number => random.next(), signal: abort.signal };
  const clients = Array.from({ length: CLIENTS }, (_, id) => new ConfigClient(id, round, options));
  const done = (): number => clients.reduce((sum, { counts }) => sum + counts.done, 0);
  const running = clients.map((client) => client.run());
  try {
    const before = 20 + random.below(150);
    await eventually(`${before} writes`, async () => done() >= before);
    await pause(random.below(50));
    await strike(fault, random);
    const again = done() + 60;
    await eventually('writes to go on', async () => done() >= again);
  } finally {
    abort.abort();
    await Promise.all(running);
  }
  await readAll(round, history);
  const counts: Counts = { done: 0, refused: 0, unknown: 0, reads: 0 };
  for (const client of clients) {
    for (const key of Object.keys(counts) as (keyof Counts)[]) counts[key] += client.counts[key];
  }
  return { operations: history.operations, counts };
}

async function strike(fault: (typeof FAULTS)[number], random: Random): Promise<void> {
  const end = async (host: Host): Promise<void> => {
    if (host.managerPid !== undefined) await host.kill('manager');
  };
  const outage = (): Promise<void> => pause(OUTAGE_MIN_MS + random.below(OUTAGE_MAX_MS));
  switch (fault) {
    case 'leader':
      return await end(await leader());
    case 'anyManager':
      return await end(random.pick(lab.hosts));
    case 'everyManager':
      await Promise.all(lab.hosts.map(end));
      return;
    case 'everyHost':
      await Promise.all(lab.hosts.map((host) => host.kill('all')));
      await Promise.all(lab.hosts.map((host) => host.start()));
      return;
    case 'haltedLeader': {
      const host = await leader();
      host.freeze('manager', 'SIGSTOP');
      return await outage().finally(() => host.freeze('manager', 'SIGCONT'));
    }
    case 'cutOffLeader': {
      const host = await leader();
      return await cut(
        lab.hosts.filter((other) => other !== host).map((other) => [host, other]),
        outage,
      );
    }
    case 'cutPath': {
      const host = random.pick(lab.hosts);
      const other = random.pick(lab.hosts.filter((each) => each !== host));
      return await cut([[host, other]], outage);
    }
  }
}

async function cut(
  paths: readonly (readonly [Host, Host])[],
  outage: () => Promise<void>,
): Promise<void> {
  for (const [host, other] of paths) lab.setPath(host, other, 'cut');
  try {
    await outage();
  } finally {
    for (const [host, other] of paths) lab.setPath(host, other, 'healed');
  }
}

function leader(): Promise<Host> {
  const [ask] = lab.hosts;
  if (ask === undefined) throw new Error('the lab has no hosts');
  return leadingHost(ask, lab.hosts);
}

/** Everything of the round, through each manager, as reads that come after all else. */
async function readAll(
  round: string,
  history: History<RegisterInput, RegisterOutput>,
): Promise<void> {
  const asked = new Set(history.operations.map(({ input }) => input.name));
  for (const [at, host] of lab.hosts.entries()) {
    let list: readonly ConfigJson[] = [];
    const calls = new Map<string, ReturnType<typeof history.call>>();
    await eventually(`the configs of ${host.name}`, async () => {
      const reads = [...asked].map((name) => {
        return [name, history.call(CLIENTS + at, { kind: 'read', name })] as const;
      });
      try {
        list = (await call(host.socket, 'GET', '/configs')) as readonly ConfigJson[];
      } catch (error) {
        for (const [, open] of reads) open.nothing();
        throw error;
      }
      for (const [name, open] of reads) calls.set(name, open);
      return true;
    });
    const own = list.filter(({ Spec }) => Spec.Name.startsWith(`r${round}-`));
    expect(new Set(own.map(({ Spec }) => Spec.Name)).size, 'each name once').toBe(own.length);
    expect(own.map(({ Spec }) => Spec.Name).filter((name) => !asked.has(name))).toEqual([]);
    const texts = new Map(own.map(({ Spec }) => [Spec.Name, Spec.Labels['text'] ?? '']));
    for (const [name, open] of calls) {
      const text = texts.get(name);
      open.returned(text === undefined ? { kind: 'absent' } : { kind: 'found', text });
    }
  }
}

function judge(operations: Round['operations'], where: string): void {
  const violation = findViolation(namedRegister, operations);
  if (violation) throw new Error(`${where}: ${describeViolation(violation)}`);
}
