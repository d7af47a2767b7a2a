import { expect, test } from 'vitest';
import { silentLogger, systemClock, systemRandom } from '../io/index.ts';
import {
  type Config,
  createObject,
  type Decider,
  type InstantMs,
  inSteps,
  removeObject,
  updateObject,
} from '../model/index.ts';
import type { Store } from './contract.ts';
import { runControlLoop } from './control-loop.ts';
import { config, names, TestCluster, until, write } from './testing/cluster.ts';

function control(
  store: Store,
  deciders: readonly Decider[],
  ignored?: ReadonlySet<'config'>,
  logger = silentLogger,
): { end: () => Promise<void> } {
  const abort = new AbortController();
  const { signal } = abort;
  const loop = { store, deciders, clock: systemClock, random: systemRandom, logger };
  const running = runControlLoop({ ...loop, ignored, signal });
  return {
    end: async (): Promise<void> => {
      abort.abort();
      await running;
    },
  };
}

/** For each config `x` there shall be `x.done` with the same text. */
const complete: Decider = ({ view }) => {
  const changes = [...view.list('config')].flatMap((each) => {
    if (each.spec.Name.endsWith('.done')) return [];
    const done = view.byName('config', `${each.spec.Name}.done`);
    if (!done) return [createObject('config', config(`${each.spec.Name}.done`, each.spec.Data))];
    if (done.spec.Data === each.spec.Data) return [];
    return [
      updateObject('config', { ...done, spec: { ...done.spec, Data: each.spec.Data } } as Config),
    ];
  });
  return { changes };
};

/** A later decider that sees what an earlier one of the same pass decided. */
const follow: Decider = ({ view }) => {
  const done = view.byName('config', 'a.done');
  const missing = done && !view.byName('config', 'b');
  return { changes: missing ? [createObject('config', config('b', `${done.version}`))] : [] };
};

test('what deciders decide over one draft is written as one entry, and the next pass is silent', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const batches: number[] = [];
  using _watch = store.watch((batch) => batches.push(batch.changes.length));
  // Written before the loop begins: a new leader looks at everything.
  await write(store, 'x');
  const loop = control(store, [complete, follow]);
  await until(() => names(store).includes('x.done'));
  await write(store, 'a');
  await until(() => names(store).includes('b.done'));
  await loop.end();
  expect(batches).toEqual([1, 1, 1, 2, 1]);
  expect(store.view.byName('config', 'b')?.spec.Data).toBe('0');
});

test('a decision on an object that changed meanwhile is dropped and made again', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  await write(store, 'x', '0');
  const loop = control(store, [complete]);
  await until(() => names(store).includes('x.done'));
  // Writers race with the loop for the same object.
  for (let at = 1; at <= 10; at++) {
    await store.update((draft) => {
      for (const name of ['x', 'x.done']) {
        const current = draft.byName('config', name);
        const Data = name === 'x' ? `${at}` : 'wrong';
        if (current)
          draft.add(updateObject('config', { ...current, spec: { ...current.spec, Data } }));
      }
    });
  }
  await until(() => store.view.byName('config', 'x.done')?.spec.Data === '10');
  await loop.end();
});

test('a decider is asked again at the instant it named', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const due = (store.now() + 150) as InstantMs;
  const later: Decider = ({ view, now }) => {
    if (view.byName('config', 'late')) return { changes: [] };
    if (now < due) return { changes: [], wakeAt: due };
    return { changes: [createObject('config', config('late'))] };
  };
  const loop = control(store, [later]);
  await until(() => names(store).includes('late'));
  expect(store.now()).toBeGreaterThanOrEqual(due);
  await loop.end();
});

test('a decider that fails is asked again, and others are not held up for ever', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  let asked = 0;
  const flaky: Decider = () => {
    if (asked++ === 0) throw new Error('a bug');
    return { changes: [] };
  };
  const loop = control(store, [flaky, complete]);
  await write(store, 'x');
  await until(() => names(store).includes('x.done'));
  await loop.end();
});

test('the loop follows leadership: it starts over on the new leader and is silent on the old one', async () => {
  await using cluster = await TestCluster.of(3);
  const asked = new Map<number, number>();
  const loops = [...cluster.managers.values()].map(({ store, member }) => {
    const counted: Decider = (input) => {
      asked.set(member.raftId, input.dirty.tasks.size);
      return complete(input);
    };
    return control(store, [counted]);
  });
  const leader = await cluster.leader();
  await write(leader.store, 'x');
  await until(() => names(leader.store).includes('x.done'));
  expect([...asked.keys()]).toEqual([leader.member.raftId]);
  const target = (await cluster.follower()).member.raftId;
  await leader.store.transferLeadership(target);
  await until(() => asked.has(target));
  const x = leader.store.view.byName('config', 'x.done');
  if (x) await leader.store.propose([removeObject('config', x)]);
  await until(() => names(cluster.get(target).store).includes('x.done'));
  await Promise.all(loops.map((loop) => loop.end()));
});

test('what was decided counts only while its leader leads', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const asked: unknown[] = [];
  const watched = new Proxy(store, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...given: readonly unknown[]): unknown => {
        if (name === 'propose') asked.push(given[1]);
        return Reflect.apply(member, target, given);
      };
    },
  });
  await write(store, 'x');
  const loop = control(watched, [complete]);
  await until(() => names(store).includes('x.done'));
  await loop.end();
  expect(asked).toEqual([expect.objectContaining({ asLeader: true })]);
});

test('changes of a kind that no decider looks at call none', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  let passes = 0;
  const count: Decider = () => {
    passes++;
    return { changes: [] };
  };
  const loop = control(store, [count], new Set(['config'] as const));
  await until(() => passes === 1);
  for (const name of ['x', 'y', 'z']) await write(store, name);
  await loop.end();
  expect(passes).toBe(1);
});

/** Keeps the processor busy. */
function spend(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

test('a long decision lets other work run between its steps', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  let turns = 0;
  const count = (): void => {
    turns++;
    ticking = setImmediate(count);
  };
  let ticking = setImmediate(count);
  const during: number[] = [];
  const long = inSteps(function* long() {
    const before = turns;
    for (let step = 0; step < 40; step++) {
      spend(1);
      yield;
    }
    during.push(turns - before);
    return { changes: [] };
  });
  const loop = control(store, [long]);
  await until(() => during.length > 0);
  clearImmediate(ticking);
  await loop.end();
  expect(during[0]).toBeGreaterThanOrEqual(5);
  expect(long.name).toBe('long');
});

test('what was decided in steps is dropped when its leader stopped leading on the way', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  let proposals = 0;
  let leads: (leading: boolean) => void = () => undefined;
  const watched = new Proxy(store, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...given: readonly unknown[]): unknown => {
        if (name === 'propose') proposals++;
        if (name === 'onLeadership') leads = given[0] as typeof leads;
        return Reflect.apply(member, target, given);
      };
    },
  });
  let asked = 0;
  const interrupted = inSteps(function* interrupted({ view }) {
    asked++;
    const changes = view.byName('config', 'x') ? [] : [createObject('config', config('x'))];
    yield;
    if (asked === 1) {
      leads(false);
      leads(true);
    }
    return { changes };
  });
  const loop = control(watched, [interrupted]);
  await until(() => names(store).includes('x'));
  await loop.end();
  expect(asked).toBeGreaterThanOrEqual(2);
  expect(proposals).toBe(1);
});

test('what changed between two steps is decided again, at once and without a complaint', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  await write(store, 'x', 'old');
  const complaints: string[] = [];
  const logger = { ...silentLogger, error: (text: string): void => void complaints.push(text) };
  let begun = false;
  const slow = inSteps(function* slow({ view }) {
    const x = view.byName('config', 'x');
    if (!x || x.spec.Data?.endsWith('!')) return { changes: [] };
    begun = true;
    while (store.view.byName('config', 'x')?.spec.Data === 'old') {
      spend(5);
      yield;
    }
    const spec = { ...x.spec, Data: `${x.spec.Data ?? ''}!` };
    return { changes: [updateObject('config', { ...x, spec } as Config)] };
  });
  const loop = control(store, [slow], undefined, logger);
  await until(() => begun);
  await store.update((draft) => {
    const x = draft.byName('config', 'x');
    if (x) draft.add(updateObject('config', { ...x, spec: { ...x.spec, Data: 'new' } } as Config));
  });
  await until(() => store.view.byName('config', 'x')?.spec.Data === 'new!');
  await loop.end();
  expect(complaints).toEqual([]);
});
