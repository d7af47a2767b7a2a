/**
 * A worker loses its power and its link: until all that it ran runs elsewhere, with the image there:
 * `npx tsx --conditions=source test/perf/node-loss.ts [--kills=50]`.
 */
import { TestCluster } from '../cluster/cluster.ts';
import { measureLosses, runService, SERVICE } from './lost-host.ts';
import { option } from './measure.ts';

const REPLICAS = 4;
const cluster = await TestCluster.start('perfnode', { managers: 3, agents: 3 });
try {
  await runService(cluster, REPLICAS, 'node.role == worker');
  const row = {
    name: 'worker lost until its tasks run elsewhere',
    kills: option('kills', 50),
    replicas: REPLICAS,
  };
  await measureLosses(cluster, row, async () => {
    const [task] = await cluster.running(SERVICE);
    if (task === undefined) throw new Error('nothing runs');
    return { lost: cluster.host(await cluster.hostOf(task)), ask: cluster.host('h1') };
  });
} finally {
  await cluster.stop();
}
