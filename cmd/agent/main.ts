import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createApiServer } from '../../pkg/api/index.ts';
import { createEngine } from '../../pkg/engine/index.ts';
import {
  goFirst,
  jsonLogger,
  type Logger,
  type LogLevel,
  sleep,
  standardOutput,
  systemClock,
  systemRandom,
  waitAndAnswer,
  writeFileAtomic,
} from '../../pkg/io/index.ts';
import { errorMessage } from '../../pkg/model/index.ts';
import { createHostNetwork, type HostNetwork } from '../../pkg/overlaynet/index.ts';
import { cgroupV2Of, createRuntime } from '../../pkg/runtime/index.ts';
import { Attachments } from '../../pkg/worker/index.ts';
import { HostWork } from './cluster-work.ts';
import { type AgentConfig, agentConfig, HELP } from './config.ts';
import { readOffer } from './device-offer.ts';
import { obstacleOf } from './manager-folder.ts';
import { Member } from './node-control.ts';
import { hostResolver } from './resolvers.ts';
import { ManagerSupervisor } from './supervise-manager.ts';

const VERSION = '0.1.0';
/** From dist/, where the bundles are. */
const INIT = resolve(import.meta.dirname, '../pkg/runtime/init/build/muster-init');
const MANAGER = resolve(import.meta.dirname, 'manager.js');
/** From one full look to the next; it rests a second at most, so that nothing stays wrong for more than ten. */
const REPAIR_MS = 9_000;
const REPAIR_CHANGED_MS = 200;

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  const config = agentConfig(args);
  waitAndAnswer();
  goFirst();
  const log = jsonLogger({
    level: config['log-level'] as LogLevel,
    now: Date.now,
    write: standardOutput(),
  });
  const abort = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => abort.abort());
  mkdirSync(config['data-dir'], { recursive: true, mode: 0o711 });
  mkdirSync(config['run-dir'], { recursive: true, mode: 0o711 });
  try {
    writeFileAtomic(join(config['run-dir'], 'agent.pid'), `${process.pid}\n`);
  } catch (error) {
    // Full, perhaps: what runs is looked after all the same.
    log.warn('process number not written', { error });
  }
  await serve(config, log, abort.signal);
}

/** Wires the parts and runs them until the signal. Containers and the manager go on without the agent. */
async function serve(config: AgentConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const network = await createHostNetwork({
    nodeId: '',
    underlayAddress: config['advertise-address'],
    runDir: join(config['run-dir'], 'network'),
    resolver: hostResolver(),
    log,
    cgroup: cgroupV2Of(config['cgroup-parent']),
  });
  const attachments = new Attachments({ clock: systemClock, log });
  const engine = await openEngine(config, { network, attachments }, log);
  const supervisor = superviseManager(config, log);
  const work = new HostWork({
    dataDir: config['data-dir'],
    hostname: config.hostname,
    labels: list(config['engine-label']),
    offer: readOffer(config, log),
    version: VERSION,
    engine: engine.tasks,
    network,
    attachments,
    managers: list(config.managers),
    clock: systemClock,
    random: systemRandom,
    log,
    onManagers: (addresses): void => member.heardOf(addresses),
    onRole: (role): void => member.wantRole(role),
  });
  const member = new Member({
    dataDir: config['data-dir'],
    advertise: config['advertise-address'],
    listenPort: Number(config['listen-port']),
    managers: list(config.managers),
    clock: systemClock,
    random: systemRandom,
    log,
    supervisor,
    work,
  });
  await member.resume();
  const api = await createApiServer({
    engine,
    node: member,
    clusterSocket: () =>
      supervisor.wanted && supervisor.obstacle === undefined ? supervisor.socket : undefined,
    log,
    version: VERSION,
  });
  await api.listen({ path: config.socket });
  log.info('agent serves', { socket: config.socket });
  await repairUntil({ network, member, log }, signal);
  await api.close();
  supervisor.release();
  member.release();
  await work.stop({ forget: false });
  await network.dispose();
  rmSync(config.socket, { force: true });
}

function openEngine(
  config: AgentConfig,
  networks: { readonly network: HostNetwork; readonly attachments: Attachments },
  log: Logger,
): ReturnType<typeof createEngine> {
  return createEngine({
    dataDir: config['data-dir'],
    runDir: join(config['run-dir'], 'engine'),
    runtime: createRuntime({
      initPath: INIT,
      stateDir: join(config['run-dir'], 'containers'),
      logger: log,
    }),
    network: networks.network,
    cluster: networks.attachments,
    log,
    cgroupParent: config['cgroup-parent'],
    hostname: config.hostname,
    version: VERSION,
    labels: list(config['engine-label']),
    registry: { insecure: list(config['insecure-registry']) },
  });
}

function superviseManager(config: AgentConfig, log: Logger): ManagerSupervisor {
  return new ManagerSupervisor({
    program: MANAGER,
    args: [
      '--data-dir',
      config['data-dir'],
      '--run-dir',
      config['run-dir'],
      '--log-level',
      config['log-level'],
    ],
    runDir: config['run-dir'],
    logFile: join(config['data-dir'], 'manager.log'),
    obstacle: () => obstacleOf(config['data-dir']),
    clock: systemClock,
    log,
  });
}

/** Kernel state is level-triggered: read it back and repair it, at once where it tells of a change. */
async function repairUntil(
  { network, member, log }: { network: HostNetwork; member: Member; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  try {
    // Agents that began together, as after a power cut, do not go on to look at the same moment.
    let nextFull = systemClock.monotonicMs() + REPAIR_MS * systemRandom.float();
    for (;;) {
      while (systemClock.monotonicMs() < nextFull) {
        await sleep(systemClock, REPAIR_CHANGED_MS, signal);
        await attempt(() => network.repairChanged(), log);
      }
      nextFull = systemClock.monotonicMs() + REPAIR_MS;
      await member.followAddress();
      await attempt(() => network.repair(), log);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** What the kernel refuses now is tried again in the next round. */
async function attempt(repair: () => unknown, log: Logger): Promise<void> {
  try {
    await repair();
  } catch (error) {
    log.error('network not repaired', { error });
  }
}

function list(text: string): readonly string[] {
  return text.split(',').filter((item) => item !== '');
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    const stack = error instanceof Error ? error.stack : undefined;
    process.stdout.write(
      `${JSON.stringify({ level: 'error', message: `agent ended: ${errorMessage(error)}`, stack })}\n`,
    );
    process.exit(1);
  },
);
