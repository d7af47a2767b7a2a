/**
 * Bugs planted by replacing one piece of text. Many were real ones of SwarmKit and etcd; what finds each is named.
 * Those of the raft core are in test/sim/raft/mutants.ts (a lease trusted after a pause: `reads without asking a quorum`).
 */
export interface Mutant {
  readonly name: string;
  /** Where it was met before; absent: invented here. */
  readonly history?: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
  /** This simulation, or a test file. */
  readonly foundBy: 'simulation' | `${string}.test.ts`;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'what a deposed leader decided is written by its successor',
    history: 'moby#33402: duplicate VIPs after a change of leader',
    file: 'pkg/store/control-loop.ts',
    find: '{ signal, asLeader: true }',
    replace: '{ signal }',
    foundBy: 'pkg/store/control-loop.test.ts',
  },
  {
    name: 'a term does not fence what was decided in it',
    history: 'moby#33402: duplicate VIPs after a change of leader',
    file: 'pkg/store/state-machine.ts',
    find: 'command.term !== undefined && command.term !== term',
    replace: 'command.term === 0',
    foundBy: 'pkg/store/state-machine.test.ts',
  },
  {
    name: 'a network goes although tasks still hold its addresses',
    history: 'swarmkit#3230: addresses leak when a network goes before its task',
    file: 'pkg/orchestrator/task-reaper.ts',
    find: 'if (!live && !named)',
    replace: 'if (!named)',
    foundBy: 'simulation',
  },
  {
    name: 'a new leader counts fences by the clock of the last one',
    file: 'pkg/orchestrator/node-lifecycle.ts',
    find: 'dirty.cluster && holdsFence(view, node)',
    replace: 'false',
    foundBy: 'pkg/orchestrator/fence.test.ts',
  },
  {
    name: 'a task that is removed while its node is lost frees its addresses at once',
    file: 'pkg/orchestrator/task-reaper.ts',
    find: 'if (unplaced || isTerminal(state) || !node) return true;',
    replace: "if (unplaced || isTerminal(state) || node?.status.state !== 'ready') return true;",
    foundBy: 'simulation',
  },
  {
    name: 'a rollback does not make a version of its own',
    history: 'swarmkit PR 2309: rollback without a spec version',
    file: 'pkg/orchestrator/rollback.ts',
    find: 'specVersion: specVersion + 1,',
    replace: 'specVersion,',
    foundBy: 'simulation',
  },
  {
    name: 'an update forgets its delay',
    history: 'moby#28039: fast update loop',
    file: 'pkg/orchestrator/update.ts',
    find: 'Math.max(policy.delayMs, backOff)',
    replace: '0',
    foundBy: 'pkg/orchestrator/update.test.ts',
  },
  {
    name: 'a missing image is asked for without pause',
    history: 'restart storm on a bad image',
    file: 'pkg/orchestrator/restart.ts',
    find: 'if (startAfter === undefined || startAfter <= work.now) return undefined;',
    replace: 'if (startAfter !== Number.NaN) return undefined;',
    foundBy: 'pkg/orchestrator/restart.test.ts',
  },
  {
    name: 'a reader of logs that goes leaves its subscription behind',
    history: 'moby#39916: log subscriptions leak',
    file: 'pkg/dispatcher/log-broker.ts',
    find: "this.#options.send(nodeId, { kind: 'log-end', subscription: part });",
    replace: 'part satisfies typeof nodeId | string;',
    foundBy: 'pkg/dispatcher/log-broker.test.ts',
  },
  {
    name: 'an agent that comes back keeps the tables it had',
    history: 'moby#53141: NetworkDB loses entries when a node rejoins',
    file: 'pkg/worker/worker.ts',
    find: 'nextTables(complete ? new Map() : this.#tables, changes)',
    replace: 'nextTables(this.#tables, changes)',
    foundBy: 'simulation',
  },
  {
    name: 'what an agent said to a lost leader is not said again',
    history: 'a status is acknowledged before it is committed, then the leader crashes',
    file: 'pkg/worker/reporter.ts',
    find: 'for (const [taskId, status] of this.#all()) this.#unsaid.set(taskId, status);',
    replace: 'this.#all();',
    foundBy: 'simulation',
  },
  {
    name: 'a new leader does not wait for nodes that died with the old one',
    history: 'nodes in state UNKNOWN are given no deadline after an election',
    file: 'pkg/dispatcher/dispatcher.ts',
    find: "if (node.status.state !== 'down') this.#heartbeats.beat(node.id);",
    replace: 'node.id;',
    foundBy: 'simulation',
  },
  {
    name: 'damage in a snapshot is not noticed',
    history: 'swarmkit, April 2026: a damaged snapshot was loaded',
    file: 'pkg/store/frame.ts',
    find: 'if (crc !== frameCrc(bytes)) return undefined;',
    replace: '',
    foundBy: 'pkg/store/storage-faults.test.ts',
  },
  {
    name: 'reports move tasks back',
    file: 'pkg/dispatcher/status.ts',
    find: 'if (order < 0 || (order === 0',
    replace: 'if ((order === 0',
    foundBy: 'pkg/dispatcher/dispatcher.test.ts',
  },
  {
    name: 'stops pass the drain barrier',
    file: 'pkg/dispatcher/drain-barrier.ts',
    find: "if (task.status.state !== 'running' || task.networks.length === 0) {",
    replace: "if (task.status.state !== 'new') {",
    foundBy: 'simulation',
  },
  {
    name: 'the drain barrier waits for its own node only',
    file: 'pkg/dispatcher/table-barrier.ts',
    find: 'now < until && waiting?.size !== 0',
    replace: 'now < until && waiting === undefined',
    foundBy: 'simulation',
  },
  {
    name: 'the address of a task that was told to stop is free at once',
    file: 'pkg/allocator/address-book.ts',
    find: 'const over = isTerminal(task.status.state);',
    replace: "const over = isTerminal(task.status.state) || task.desiredState === 'shutdown';",
    foundBy: 'simulation',
  },
  {
    name: 'virtual addresses are not reserved',
    history: 'duplicate VIPs',
    file: 'pkg/allocator/address-book.ts',
    find: 'for (const vip of this.#virtualIps(network.id)) hold(addresses, vip);',
    replace: 'this.#virtualIps(network.id);',
    foundBy: 'simulation',
  },
  {
    name: 'room that a task leaves is not looked for',
    file: 'pkg/scheduler/schedule.ts',
    find: 'if (!task || !isRunnable(task)) return true;',
    replace: 'if (!task) return true;',
    foundBy: 'simulation',
  },
  {
    name: 'a stop is taken back by the next leader',
    file: 'pkg/worker/task-controller.ts',
    find: 'isStop(before) && !isStop(task.desiredState) ? before : task.desiredState',
    replace: 'task.desiredState',
    foundBy: 'pkg/worker/worker.test.ts',
  },
  {
    name: 'containers that nobody knows are left running',
    file: 'pkg/worker/worker.ts',
    find: 'if (complete) this.#removeUnknown(new Set(changes.tasks.map(({ task }) => task.id)));',
    replace: '',
    foundBy: 'simulation',
  },
  {
    name: 'an update takes one slot more than its parallelism',
    file: 'pkg/orchestrator/update.ts',
    find: 'policy.parallelism - starting;',
    replace: 'policy.parallelism - starting + 1;',
    foundBy: 'simulation',
  },
  {
    name: 'an update turns back when its ratio is reached, not exceeded',
    file: 'pkg/orchestrator/update.ts',
    find: 'if (status.failures <= policy.maxFailureRatio * status.slotsTotal) return;',
    replace: 'if (status.failures < policy.maxFailureRatio * status.slotsTotal) return;',
    foundBy: 'simulation',
  },
  {
    name: 'start-first stops the old task first',
    file: 'pkg/orchestrator/update.ts',
    find: 'if (keepsServing && isRunning(task)) continue;',
    replace: '',
    foundBy: 'pkg/orchestrator/update.test.ts',
  },
  {
    name: 'a node that is heard again is not told what became of its tasks',
    file: 'pkg/dispatcher/session.ts',
    find: 'const complete = this.#sequence === 0;',
    replace: 'const complete = false;',
    foundBy: 'simulation',
  },
  {
    name: 'a fenced slot gets its replacement as soon as its node is lost',
    file: 'pkg/orchestrator/fence.ts',
    find: 'return node && fenceEnd(node, servicePolicy(work.specOf(task)).fenceMs);',
    replace: 'return node && fenceEnd(node, servicePolicy(work.specOf(task)).fenceMs) && work.now;',
    foundBy: 'simulation',
  },
];
