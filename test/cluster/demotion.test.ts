/** The long run: `npx tsx --conditions=source test/cluster/demotions.ts --rounds=100`. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';
import { demotionRounds } from './demotion-rounds.ts';
import { leadingHost, setRole } from './role.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('demotion', { managers: 3, agents: 0 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test('managers are demoted down to one and promoted again: the quorum is never lost, and no write fails', async () => {
  for await (const { kind, failures } of demotionRounds(cluster.lab, 2))
    expect({ kind, failures }).toEqual({ kind, failures: [] });
});

/** Each is demoted through another one at the same time; what the commands answered. */
async function demoteAtOnce(names: readonly string[]): Promise<readonly string[]> {
  const asked = names.map((name, at) => ({ name, ask: names[(at + 1) % names.length] ?? '' }));
  const done = await Promise.all(
    asked.map(({ name, ask }) => cluster.tryCtl(ask, 'node', 'demote', name)),
  );
  return done.map(({ code, err }) => (code === 0 ? '' : err.trim()));
}

/** One manager is left, leads by its role too, and takes writes; the others are workers. */
async function oneManager(write: string): Promise<string> {
  let left = '';
  await eventually('one manager that answers', async () => {
    for (const { name } of cluster.lab.hosts) {
      const { status } = await cluster.apiStatus(name, 'GET', '/nodes');
      if (status !== 200) continue;
      const nodes = await cluster.api<
        { Spec: { Role: string }; ManagerStatus?: object; Description: { Hostname: string } }[]
      >(name, 'GET', '/nodes');
      const managers = nodes.filter((node) => node.Spec.Role === 'manager' || node.ManagerStatus);
      if (managers.length !== 1) return false;
      left = managers[0]?.Description.Hostname ?? '';
    }
    return (
      left !== '' &&
      cluster.lab.hosts.every(
        ({ name, managerPid }) => (managerPid !== undefined) === (name === left),
      )
    );
  });
  await cluster.ctl(left, 'config', 'create', write, '/etc/hostname');
  return left;
}

test('managers that are demoted through each other at once never all go: one is refused, and stays', async () => {
  const hosts = cluster.lab.hosts;
  const promoteAll = async (left: string): Promise<void> => {
    for (const host of hosts)
      if (host.name !== left) await setRole(cluster.host(left), host, 'manager');
  };
  await promoteAll((await leadingHost(cluster.host('h1'), hosts)).name);
  const names = hosts.map(({ name }) => name);
  const answers = await demoteAtOnce(names);
  const left = await oneManager('after-three');
  // Refused as the last one, or by a manager that was demoted itself, before or while it was asked.
  expect(answers[names.indexOf(left)]).toMatch(
    /last manager|loss of quorum|not a swarm manager|ask again if it was not|this manager is stopping/,
  );
  await promoteAll(left);
  const other = names.find((name) => name !== left) ?? '';
  const third = names.find((name) => name !== left && name !== other) ?? '';
  await setRole(cluster.host(left), cluster.host(third), 'worker');
  expect((await demoteAtOnce([left, other])).filter((text) => text !== '')).toHaveLength(1);
  await oneManager('after-two');
});
