import type { Command } from 'commander';
import { joinHostPort, splitHostPort } from '../../pkg/model/index.ts';
import type { Context } from './context.ts';
import { collect, type Options, texts } from './service-create.ts';
import { oneOf } from './service-flags.ts';
import { addSwarmLock, printUnlockKey } from './swarm-lock.ts';

interface Swarm {
  readonly Version: { readonly Index: number };
  readonly Spec: object;
  readonly JoinTokens: { readonly Worker: string; readonly Manager: string };
}

const PORT = 2377;

/** `ctl swarm …` */
export function addSwarm(program: Command, context: () => Context): void {
  const swarm = program.command('swarm').description('The cluster this host is part of');
  swarm
    .command('init')
    .description('Make a cluster with this host as its first manager')
    .option('--advertise-addr <address>', 'address that other nodes reach this one at')
    .option('--listen-addr <address:port>', 'where to listen for other nodes', `0.0.0.0:${PORT}`)
    .option('--data-path-addr <address>', 'address for overlay traffic, if another')
    .option('--default-addr-pool <cidr>', 'pool that network subnets are cut from', collect)
    .option('--default-addr-pool-mask-length <bits>', 'prefix length of those subnets')
    .option('--autolock', 'a manager that was stopped starts again with the unlock key only')
    .option('--force-new-cluster', 'make a new cluster from the state of this manager')
    .option('--availability <state>', 'active, pause or drain', 'active')
    .action(async (options: Options) => await init(context(), options));
  swarm
    .command('join <address:port>')
    .description('Join this host to a cluster as the role of the token')
    .requiredOption('--token <token>', 'from ctl swarm join-token')
    .option('--advertise-addr <address>', 'address that other nodes reach this one at')
    .option('--listen-addr <address:port>', 'where to listen for other nodes', `0.0.0.0:${PORT}`)
    .option('--data-path-addr <address>', 'address for overlay traffic, if another')
    .option('--availability <state>', 'active, pause or drain', 'active')
    .action(async (remote: string, options: Options) => await join(context(), remote, options));
  swarm
    .command('leave')
    .description('Take this host out of its cluster')
    .option('-f, --force', 'even if it is a manager')
    .action(async (options: Options) => {
      await context().client.post('/swarm/leave', undefined, { force: options['force'] === true });
      context().output.line('Node left the cluster.');
    });
  swarm
    .command('join-token <role>')
    .description('Show, or renew, the token that a new worker or manager joins with')
    .option('-q, --quiet', 'the token only')
    .option('--rotate', 'make a new one; the old one is worth nothing any more')
    .action(async (role: string, options: Options) => {
      const kind = oneOf(role, 'role', ['worker', 'manager']) as 'worker' | 'manager';
      await joinToken(context(), kind, options);
    });
  addSwarmLock(swarm, context);
}

async function init({ client, output }: Context, options: Options): Promise<void> {
  const mask = options['defaultAddrPoolMaskLength'];
  const id = await client.post<string>('/swarm/init', {
    ...addresses(options),
    ForceNewCluster: options['forceNewCluster'] === true,
    AutoLockManagers: options['autolock'] === true,
    DefaultAddrPool: texts(options, 'defaultAddrPool'),
    ...(mask === undefined ? {} : { SubnetSize: Number(mask) }),
    Spec: {},
  });
  output.line(`Cluster made: this node (${id}) is its first manager.\n`);
  await printJoin({ client, output }, 'worker', id);
  if (options['autolock'] === true) await printUnlockKey({ client, output });
  output.line("To add a manager, run 'ctl swarm join-token manager' and follow what it says.");
}

async function join({ client, output }: Context, remote: string, options: Options): Promise<void> {
  const address = joinHostPort(splitHostPort(remote, PORT));
  await client.post('/swarm/join', {
    ...addresses(options),
    RemoteAddrs: [address],
    JoinToken: options['token'],
  });
  const info = await client.get<{ Swarm?: { ControlAvailable?: boolean } }>('/info');
  output.line(
    `This node joined the cluster as a ${info.Swarm?.ControlAvailable ? 'manager' : 'worker'}.`,
  );
}

function addresses(options: Options): object {
  return {
    ListenAddr: options['listenAddr'],
    AdvertiseAddr: options['advertiseAddr'] ?? '',
    DataPathAddr: options['dataPathAddr'] ?? '',
    Availability: options['availability'],
  };
}

async function joinToken(
  context: Context,
  role: 'worker' | 'manager',
  options: Options,
): Promise<void> {
  const { client, output } = context;
  if (options['rotate']) {
    const swarm = await client.get<Swarm>('/swarm');
    await client.post('/swarm/update', swarm.Spec, {
      version: swarm.Version.Index,
      rotateWorkerToken: role === 'worker',
      rotateManagerToken: role === 'manager',
      rotateManagerUnlockKey: false,
    });
  }
  if (options['quiet']) {
    output.line(
      (await client.get<Swarm>('/swarm')).JoinTokens[role === 'worker' ? 'Worker' : 'Manager'],
    );
    return;
  }
  const info = await client.get<{ Swarm: { NodeID: string } }>('/info');
  await printJoin(context, role, info.Swarm.NodeID);
}

async function printJoin(
  { client, output }: Pick<Context, 'client' | 'output'>,
  role: 'worker' | 'manager',
  nodeId: string,
): Promise<void> {
  const swarm = await client.get<Swarm>('/swarm');
  const node = await client.get<{ ManagerStatus?: { Addr?: string } }>(`/nodes/${nodeId}`);
  const token = swarm.JoinTokens[role === 'worker' ? 'Worker' : 'Manager'];
  output.line(
    `To add a ${role}, run this on it:\n\n    ctl swarm join --token ${token} ${node.ManagerStatus?.Addr ?? ''}\n`,
  );
}
