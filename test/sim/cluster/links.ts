import type { Timer } from '../../../pkg/io/index.ts';
import {
  type AttachmentAnswer,
  ClusterError,
  type NodeId,
  type NodeRole,
} from '../../../pkg/model/index.ts';
import {
  type AgentMessage,
  type AgentSession,
  type Caller,
  ItemQueue,
  type ManagerMessage,
  type ManagerSession,
} from '../../../pkg/rpc/index.ts';
import type { ManagerLink } from '../../../pkg/worker/index.ts';
import type { World } from '../store/world.ts';

/** A machine as the network sees it. */
export interface Party {
  readonly nodeId: NodeId;
  readonly address: string;
  /** Counts its starts; a connection belongs to one. */
  readonly run: number;
  readonly isUp: boolean;
  /** Does `action` now, or when the machine goes on after standing still. */
  whenRunning(run: number, action: () => void): void;
}

export interface Server extends Party {
  serve(stream: ManagerSession, caller: Caller): Promise<void>;
}

const QUEUE_MAX = Number.MAX_SAFE_INTEGER;
const NO_LOGS = 'logs are not simulated';

/** Streams between agents and managers: in order, late, and stalled while the path is cut. */
export class Links {
  readonly #world: World;
  readonly #delayMs: number;
  readonly #servers: () => readonly Server[];
  readonly #cut = new Set<string>();
  readonly #slow = new Map<NodeId, number>();
  readonly #open = new Set<Stream>();

  constructor(world: World, delayMs: number, servers: () => readonly Server[]) {
    this.#world = world;
    this.#delayMs = delayMs;
    this.#servers = servers;
  }

  /** Both directions; what is said meanwhile arrives afterwards, if the stream lives that long. */
  cut(one: NodeId, other: NodeId): void {
    this.#cut.add(pathOf(one, other));
  }

  slow(node: NodeId, extraMs: number): void {
    this.#slow.set(node, extraMs);
  }

  heal(): void {
    this.#cut.clear();
    this.#slow.clear();
    for (const stream of this.#open) stream.resume();
  }

  isCut(one: NodeId, other: NodeId): boolean {
    return this.#cut.has(pathOf(one, other));
  }

  delay(one: NodeId, other: NodeId): number {
    const extra = Math.max(this.#slow.get(one) ?? 0, this.#slow.get(other) ?? 0);
    return this.#world.random.between(0.2, this.#delayMs + extra);
  }

  /** Its process ended. The kernel tells the other side, unless the whole machine is gone. */
  gone(party: Party, told: boolean): void {
    for (const stream of [...this.#open]) if (stream.isOf(party)) stream.break(party, told);
  }

  forget(stream: Stream): void {
    this.#open.delete(stream);
  }

  connect(agent: Party, address: string): ManagerLink {
    const { run } = agent;
    const world = this.#world;
    let server: Server | undefined;
    let serverRun = 0;
    const streams: Stream[] = [];
    return {
      ready: async (timeoutMs): Promise<void> => {
        server = this.#servers().find((one) => one.address === address);
        const reachable = server?.isUp === true && !this.isCut(agent.nodeId, server.nodeId);
        serverRun = server?.run ?? 0;
        await world.pause(
          reachable && server ? 2 * this.delay(agent.nodeId, server.nodeId) : timeoutMs,
        );
        // First of all: a program that has ended does not try another address either.
        if (agent.run !== run) await new Promise<never>(() => undefined);
        if (!reachable) throw new ClusterError('unavailable', `${address} does not answer`);
      },
      openSession: (): AgentSession => {
        if (!server) throw new Error('not connected');
        const stream = new Stream({ links: this, world, agent, server, serverRun });
        streams.push(stream);
        this.#open.add(stream);
        return stream.agentSide;
      },
      claimAttachments: async (): Promise<readonly AttachmentAnswer[]> => [],
      publishLogs: async (): Promise<void> => {
        throw new Error(NO_LOGS);
      },
      close: (): void => {
        for (const stream of streams) stream.hangUp();
      },
    };
  }
}

interface Ends {
  readonly links: Links;
  readonly world: World;
  readonly agent: Party;
  readonly server: Server;
  readonly serverRun: number;
}

/** One session's stream. */
class Stream {
  readonly #ends: Ends;
  readonly #agentRun: number;
  readonly #toServer: Direction<AgentMessage>;
  readonly #toAgent: Direction<ManagerMessage>;
  readonly agentSide: AgentSession;

  constructor(ends: Ends) {
    const { agent, server, serverRun } = ends;
    this.#ends = ends;
    this.#agentRun = agent.run;
    this.#toServer = new Direction(ends, { to: server, run: serverRun, from: agent });
    this.#toAgent = new Direction(ends, { to: agent, run: agent.run, from: server });
    this.agentSide = side(this.#toServer, this.#toAgent, () => this.hangUp());
    this.#toServer.deliver(() => this.#serve());
  }

  isOf(party: Party): boolean {
    return party === this.#ends.agent || party === this.#ends.server;
  }

  resume(): void {
    this.#toServer.resume();
    this.#toAgent.resume();
  }

  /** The agent wants nothing more of it. */
  hangUp(): void {
    if (this.#ends.agent.run === this.#agentRun) this.#toAgent.queue.close();
    this.#toServer.deliver(() => this.#toServer.queue.close(cancelled()));
  }

  break(party: Party, told: boolean): void {
    const { agent, links } = this.#ends;
    const other = party === agent ? this.#toServer : this.#toAgent;
    if (told) other.deliver(() => other.queue.close(cancelled()));
    else other.stop();
    links.forget(this);
  }

  #serve(): void {
    const { server, agent, serverRun, links } = this.#ends;
    if (server.run !== serverRun) return;
    const caller = callerOf(agent);
    const stream = side(this.#toAgent, this.#toServer, () =>
      this.#toServer.queue.close(cancelled()),
    );
    const over = (error?: Error): void => {
      this.#toServer.queue.close(error);
      this.#toAgent.deliver(() => this.#toAgent.queue.close(error));
      links.forget(this);
    };
    server.serve(stream, caller).then(
      () => over(),
      (error: unknown) => over(error instanceof Error ? error : new Error(String(error))),
    );
  }
}

interface Way {
  readonly from: Party;
  readonly to: Party;
  /** Of the receiver: what comes for an earlier one is lost. */
  readonly run: number;
}

/** What goes one way: in order, not before a cut path is whole again. */
class Direction<T> {
  readonly queue = new ItemQueue<T>(QUEUE_MAX);
  readonly #ends: Ends;
  readonly #way: Way;
  readonly #waiting: (() => void)[] = [];
  #arrivesAt = 0;
  #timer: Timer | undefined;
  #over = false;

  constructor(ends: Ends, way: Way) {
    this.#ends = ends;
    this.#way = way;
  }

  send(item: T): boolean {
    this.deliver(() => void this.queue.push([item]));
    return true;
  }

  deliver(action: () => void): void {
    if (this.#over) return;
    this.#waiting.push(action);
    this.resume();
  }

  /** The other side is gone without a word: nothing comes any more. */
  stop(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  resume(): void {
    const { world, links } = this.#ends;
    const { from, to } = this.#way;
    if (this.#timer || this.#over || this.#waiting.length === 0) return;
    if (links.isCut(from.nodeId, to.nodeId)) return;
    const at = Math.max(this.#arrivesAt, world.now + links.delay(from.nodeId, to.nodeId));
    this.#arrivesAt = at;
    this.#timer = world.after(at - world.now, () => {
      this.#timer = undefined;
      this.#arrive();
    });
  }

  /** All that was said by now arrives together. */
  #arrive(): void {
    const { links } = this.#ends;
    const { from, to, run } = this.#way;
    if (links.isCut(from.nodeId, to.nodeId)) return;
    const actions = this.#waiting.splice(0);
    to.whenRunning(run, () => {
      for (const action of actions) action();
    });
  }
}

function side<Out, In>(
  out: Direction<Out>,
  incoming: Direction<In>,
  cancel: () => void,
): AgentSessionOf<Out, In> {
  return {
    send: (message) => out.send(message),
    drained: async () => undefined,
    end: (): void => out.deliver(() => out.queue.close()),
    cancel,
    [Symbol.asyncIterator]: () => incoming.queue[Symbol.asyncIterator](),
  };
}

interface AgentSessionOf<Out, In> extends AsyncIterable<In> {
  send(message: Out): boolean;
  drained(): Promise<void>;
  end(): void;
  cancel(): void;
}

function callerOf({ nodeId, address }: Party): Caller {
  return { nodeId, role: roleOf(nodeId), clusterId: 'cluster1', address } as Caller;
}

function roleOf(nodeId: NodeId): NodeRole {
  return nodeId.startsWith('manager') ? 'manager' : 'worker';
}

function pathOf(one: NodeId, other: NodeId): string {
  return one < other ? `${one} ${other}` : `${other} ${one}`;
}

function cancelled(): ClusterError {
  return new ClusterError('cancelled', 'the stream was cancelled');
}
