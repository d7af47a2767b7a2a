import { setTimeout as pause } from 'node:timers/promises';
import { shortDigest } from '../io/index.ts';
import {
  type HostNetworkCheck,
  type NetworkProbe,
  type NetworkTable,
  tableText,
} from '../model/index.ts';
import { inService } from './backends.ts';
import { describeTable } from './describe-difference.ts';
import type { SandboxContext } from './desired.ts';
import { macOf } from './expression.ts';
import type { HostSide } from './host-side.ts';
import { gatewayAddresses } from './ingress.ts';
import type { Namespace, Ping } from './kernel/kernel.ts';
import type { Sandbox } from './sandbox.ts';

const ANSWER_WITHIN_MS = 2_000;
const LOOK_EVERY_MS = 5;
/** Sockets open at once, per namespace. */
const QUESTIONS_MAX = 128;

/** A refusing rule on the way out gives EPERM. */
const REFUSALS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EPERM']);
const ENTRY = /^(neighbour|bridge|tunnel) entry /;
const REASONS: Readonly<Record<string, string>> = {
  waiting: `no answer within ${ANSWER_WITHIN_MS / 1000} s`,
  EHOSTUNREACH: 'no host has this address',
  ENETUNREACH: 'no route',
  ECONNREFUSED: 'refused',
  EPERM: 'refused by a rule here',
};

/** A namespace to ask from. */
interface Origin {
  readonly name: string;
  readonly namespace: Pick<Namespace, 'ping'>;
  /** Where the network of this host is not as it should be. */
  readonly hub: readonly string[];
  /** Where the namespace itself is not. */
  readonly own: readonly string[];
}

export interface CheckedHost {
  /** The table as it came. */
  readonly told: NetworkTable;
  readonly hub: readonly string[];
  readonly host: HostSide;
  /** On the network. */
  readonly sandboxes: readonly Sandbox[];
  readonly contextOf: (sandbox: Sandbox) => SandboxContext;
  readonly repairs: number;
}

/** What this host says of a network: what it was told, where its kernel differs, and whom its containers reach. */
export async function checkNetwork(
  table: NetworkTable,
  checked: CheckedHost,
): Promise<HostNetworkCheck> {
  const { told, hub, repairs } = checked;
  const origins = originsOf(table, checked);
  const own = origins.flatMap((origin) => origin.own.map((line) => `${origin.name}: ${line}`));
  return {
    revision: table.revision,
    digest: shortDigest(tableText(told)),
    differences: [...hub, ...own],
    repairs,
    probes: await probeNetwork(table, origins),
  };
}

/** The mesh is used from the host's own namespace, any other network from those of containers. */
function originsOf(
  { ingress }: NetworkTable,
  { hub, host, sandboxes, contextOf }: CheckedHost,
): readonly Origin[] {
  if (ingress) {
    const own = host.rulesets.broken().map(describeTable);
    return [{ name: 'host', namespace: host.namespace, hub, own }];
  }
  return sandboxes.map((sandbox): Origin => {
    const { record, namespace } = sandbox;
    return { name: record.spec.name, namespace, hub, own: sandbox.differences(contextOf(sandbox)) };
  });
}

interface Target extends Pick<NetworkProbe, 'kind' | 'address' | 'name' | 'nodeId'> {
  /** A VIP without a task in service refuses, and that is right. */
  readonly refuses: boolean;
  /** Of an endpoint: the link that has the address. */
  readonly mac?: string | undefined;
}

/**
 * Asks every address of the table that should answer from every origin: VIPs, endpoints in service, and the gateways of
 * the mesh, whose VIPs nobody uses. By ICMP echo, which takes the way of every other packet: VIPs are translated, the
 * tunnel's entries found, and the other container's kernel answers.
 */
async function probeNetwork(
  table: NetworkTable,
  origins: readonly Origin[],
): Promise<readonly NetworkProbe[]> {
  const targets = targetsOf(table);
  const found = await Promise.all(origins.map((origin) => probeFrom(origin, targets)));
  return found.flat();
}

function targetsOf(table: NetworkTable): readonly Target[] {
  const serving = table.endpoints.filter(inService);
  const staffed = new Set<string>(serving.map(({ serviceId }) => serviceId));
  const vips = table.services.flatMap(({ serviceId, name, vips: addresses }): Target[] =>
    addresses.map((address) => {
      return { kind: 'vip', address, name, refuses: !staffed.has(serviceId) };
    }),
  );
  const endpoints = serving.flatMap(({ slotName, name, nodeId, addresses }): Target[] => {
    const mac = addresses[0] && macOf(addresses[0]);
    return addresses.map((address) => {
      return { kind: 'endpoint', address, name: slotName || name, nodeId, refuses: false, mac };
    });
  });
  const gateways = table.gateways.flatMap(({ nodeId, address: first }): Target[] => {
    const mac = macOf(first);
    return gatewayAddresses(table, first).map((address) => {
      return { kind: 'gateway', address, name: nodeId, nodeId, refuses: false, mac };
    });
  });
  return [...(table.ingress ? gateways : vips), ...endpoints];
}

async function probeFrom(
  origin: Origin,
  targets: readonly Target[],
): Promise<readonly NetworkProbe[]> {
  const probes: NetworkProbe[] = [];
  for (let start = 0; start < targets.length; start += QUESTIONS_MAX) {
    const chunk = targets.slice(start, start + QUESTIONS_MAX);
    const answers = await askAll(
      origin,
      chunk.map(({ address }) => address),
    );
    for (const [at, target] of chunk.entries()) {
      probes.push(probeOf(origin, target, answers[at] ?? 'waiting'));
    }
  }
  return probes;
}

async function askAll(
  { namespace }: Origin,
  addresses: readonly string[],
): Promise<readonly string[]> {
  const pings: Ping[] = [];
  try {
    for (const address of addresses) pings.push(namespace.ping(address));
    const deadline = performance.now() + ANSWER_WITHIN_MS;
    for (;;) {
      const answers = pings.map((ping) => ping.answer());
      if (!answers.includes('waiting') || performance.now() > deadline) return answers;
      await pause(LOOK_EVERY_MS);
    }
  } finally {
    for (const ping of pings) ping[Symbol.dispose]();
  }
}

function probeOf(
  origin: Origin,
  { refuses, mac, ...target }: Target,
  answer: string,
): NetworkProbe {
  const from = origin.name;
  if (refuses ? REFUSALS.has(answer) : answer === 'answered') {
    return { from, ...target, reached: true };
  }
  return { from, ...target, reached: false, reason: reasonOf(origin, mac, answer, refuses) };
}

function reasonOf(
  { hub, own }: Origin,
  mac: string | undefined,
  answer: string,
  refuses: boolean,
): string {
  const said = REASONS[answer] ?? answer;
  const plain = refuses ? `no task is in service, but: ${said}` : said;
  // Entries concern one address, links and everything in the container concern all.
  const concerned = hub.filter((line) => !ENTRY.test(line) || (mac && line.includes(mac)));
  return [plain, ...concerned, ...own].join('; ');
}
