/**
 * Processor time that all deciders take, until they decide nothing more, when one node joins and when one is lost, in
 * clusters of two sizes with as many tasks for each node: `npx tsx --conditions=source test/perf/node-change.ts`.
 */
import { must } from '../../pkg/model/index.ts';
import { DecideCluster, webSpec } from '../sim/decide-cluster.ts';
import { median, report, round } from './measure.ts';

const SIZES = [100, 1000];
const SERVICES = 30;
const TASKS_PER_NODE = 30;
const ROUNDS = 30;

for (const nodes of SIZES) measure(nodes);

function measure(nodes: number): void {
  const cluster = new DecideCluster({ nodes });
  for (let number = 0; number < SERVICES; number++) {
    const replicas = (nodes * TASKS_PER_NODE) / SERVICES;
    cluster.createService(webSpec({ Name: `s${number}`, replicas }));
  }
  cluster.converge();
  const joins: number[] = [];
  const losses: number[] = [];
  for (let count = 0; count < ROUNDS; count++) {
    const { id } = cluster.addNode();
    joins.push(cpuMs(() => cluster.settle()));
    cluster.removeNode(id);
    cluster.settle();
    const lost = must([...cluster.tables.list('node')][count], 'a node').id;
    cluster.setNodeState(lost, 'down');
    losses.push(cpuMs(() => cluster.settle()));
    cluster.converge();
  }
  const tasks = cluster.tables.count('task');
  for (const [what, found] of [
    ['joins', joins],
    ['is lost', losses],
  ] as const) {
    report(`a node ${what}: processor time of the deciders`, 'ms', [median(found)], {
      nodes,
      tasks,
      n: found.length,
      least: round(Math.min(...found)),
    });
  }
}

function cpuMs(work: () => void): number {
  const begun = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
}
