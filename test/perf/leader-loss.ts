/**
 * The leader's own host loses its power and its link: until all that it ran runs elsewhere, with the image there:
 * `npx tsx --conditions=source test/perf/leader-loss.ts [--kills=20]`.
 */
import { eventually, TestCluster } from '../cluster/cluster.ts';
import { settledLeader } from './lab.ts';
import { measureLosses, runService, SERVICE } from './lost-host.ts';
import { option } from './measure.ts';

const cluster = await TestCluster.start('perfleader', { managers: 3, agents: 3 });
try {
  const replicas = 6;
  await runService(cluster, replicas, 'node.platform.os == linux');
  const row = {
    name: "the leader's host lost until its tasks run elsewhere",
    kills: option('kills', 20),
    replicas,
  };
  await measureLosses(cluster, row, async () => {
    const lost = await settledLeader(cluster.lab);
    await spreadOnto(lost.name);
    const ask = cluster.lab.hosts.find(
      ({ role, name }) => role === 'manager' && name !== lost.name,
    );
    if (ask === undefined) throw new Error('there is no other manager');
    return { lost, ask };
  });
} finally {
  await cluster.stop();
}

/** A host that was lost before came back empty. */
async function spreadOnto(host: string): Promise<void> {
  await eventually(`a task on ${host}`, async () => {
    const hosts = await Promise.all(
      (await cluster.running(SERVICE)).map((task) => cluster.hostOf(task)),
    );
    if (hosts.includes(host)) return true;
    await cluster.ctl('h1', 'service', 'update', '--quiet', '--force', SERVICE);
    return false;
  });
}
