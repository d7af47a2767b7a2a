import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type HostNetworkCheck, type NetworkId, unreachable } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { decodeJson, encodeJson } from './codec.ts';
import {
  type AgentMessage as AgentEnvelope,
  AgentMessageSchema,
  Dispatcher,
  type ManagerMessage as ManagerEnvelope,
  ManagerMessageSchema,
} from './gen/dispatcher.pb.ts';
import type { MessageStream } from './message-stream.ts';
import { type Caller, type ServiceBinding, streaming } from './server.ts';
import type { AgentMessage, ManagerMessage } from './session-message.ts';

/** The manager's end of a session. */
export type ManagerSession = MessageStream<ManagerMessage, AgentMessage>;
/** The agent's end of a session. */
export type AgentSession = MessageStream<AgentMessage, ManagerMessage>;

/** `serve` holds the session until it is over. */
export function dispatcherService(
  serve: (session: ManagerSession, caller: Caller) => Promise<void>,
): ServiceBinding {
  return {
    service: Dispatcher,
    methods: [
      streaming(Dispatcher.method.session, ['worker', 'manager'], async (stream, caller) => {
        await serve(translated(stream, packManagerMessage, unpackAgentMessage), caller);
      }),
    ],
  };
}

/** Opens a session; the first message must be `register` or `find-leader`. */
export function openSession(client: RpcClient): AgentSession {
  const stream = client.stream(Dispatcher.method.session);
  return translated(stream, packAgentMessage, unpackManagerMessage);
}

function translated<Out, In, OuterOut, OuterIn>(
  stream: MessageStream<Out, In>,
  pack: (message: OuterOut) => Out,
  unpack: (message: In) => OuterIn | undefined,
): MessageStream<OuterOut, OuterIn> {
  return {
    send: (message) => stream.send(pack(message)),
    drained: () => stream.drained(),
    end: () => stream.end(),
    cancel: () => stream.cancel(),
    async *[Symbol.asyncIterator](): AsyncGenerator<OuterIn> {
      for await (const envelope of stream) {
        const message = unpack(envelope);
        if (message) yield message;
      }
    },
  };
}

function packAgentMessage(message: AgentMessage): AgentEnvelope {
  return create(AgentMessageSchema, agentInit(message));
}

function agentInit(message: AgentMessage): MessageInitShape<typeof AgentMessageSchema> {
  switch (message.kind) {
    case 'register':
      return {
        kind: {
          case: 'register',
          value: {
            descriptionJson: encodeJson(message.description),
            address: message.address,
            agentRun: message.agentRun,
          },
        },
      };
    case 'find-leader':
      return { kind: { case: 'findLeader', value: {} } };
    case 'heartbeat':
      return { kind: { case: 'heartbeat', value: {} } };
    case 'away':
      return { kind: { case: 'away', value: { backWithinMs: message.backWithinMs } } };
    case 'acknowledge':
      return { kind: { case: 'acknowledge', value: { sequence: BigInt(message.sequence) } } };
    case 'report':
      return {
        kind: {
          case: 'report',
          value: { number: BigInt(message.number), statusesJson: encodeJson(message.statuses) },
        },
      };
    case 'describe':
      return {
        kind: { case: 'describe', value: { descriptionJson: encodeJson(message.description) } },
      };
    case 'volume-report':
      return {
        kind: { case: 'volumeReport', value: { statusesJson: encodeJson(message.statuses) } },
      };
    case 'network-checked': {
      const checkJson = message.check ? encodeJson(message.check) : new Uint8Array();
      return {
        kind: { case: 'networkChecked', value: { number: BigInt(message.number), checkJson } },
      };
    }
    default:
      return unreachable(message);
  }
}

/** Undefined for a kind that this version does not know. */
function unpackAgentMessage({ kind }: AgentEnvelope): AgentMessage | undefined {
  switch (kind.case) {
    case 'register':
      return {
        kind: 'register',
        description: decodeJson(kind.value.descriptionJson),
        address: kind.value.address,
        agentRun: kind.value.agentRun,
      };
    case 'findLeader':
      return { kind: 'find-leader' };
    case 'heartbeat':
      return { kind: 'heartbeat' };
    case 'away':
      return { kind: 'away', backWithinMs: kind.value.backWithinMs };
    case 'acknowledge':
      return { kind: 'acknowledge', sequence: Number(kind.value.sequence) };
    case 'report':
      return {
        kind: 'report',
        number: Number(kind.value.number),
        statuses: decodeJson(kind.value.statusesJson),
      };
    case 'describe':
      return { kind: 'describe', description: decodeJson(kind.value.descriptionJson) };
    case 'volumeReport':
      return { kind: 'volume-report', statuses: decodeJson(kind.value.statusesJson) };
    case 'networkChecked': {
      const { number, checkJson } = kind.value;
      const check = checkJson.length > 0 ? decodeJson<HostNetworkCheck>(checkJson) : undefined;
      return { kind: 'network-checked', number: Number(number), check };
    }
    default:
      return undefined;
  }
}

function packManagerMessage(message: ManagerMessage): ManagerEnvelope {
  return create(ManagerMessageSchema, managerInit(message));
}

function managerInit(message: ManagerMessage): MessageInitShape<typeof ManagerMessageSchema> {
  switch (message.kind) {
    case 'welcome':
      return {
        kind: {
          case: 'welcome',
          value: { sessionId: message.sessionId, heartbeatMs: message.heartbeatMs },
        },
      };
    case 'redirect':
      return { kind: { case: 'redirect', value: { leader: message.leader } } };
    case 'assignments':
      return {
        kind: {
          case: 'assignments',
          value: {
            sequence: BigInt(message.sequence),
            complete: message.complete,
            changesJson: encodeJson(message.changes),
          },
        },
      };
    case 'reported':
      return { kind: { case: 'reported', value: { number: BigInt(message.number) } } };
    case 'managers':
      return { kind: { case: 'managers', value: { addresses: [...message.addresses] } } };
    case 'role':
      return { kind: { case: 'role', value: { role: message.role } } };
    case 'alive':
      return { kind: { case: 'alive', value: {} } };
    case 'log-request':
      return {
        kind: {
          case: 'logRequest',
          value: { subscription: message.subscription, requestJson: encodeJson(message.request) },
        },
      };
    case 'log-end':
      return { kind: { case: 'logEnd', value: { subscription: message.subscription } } };
    case 'check-network': {
      const { number, networkId } = message;
      return { kind: { case: 'checkNetwork', value: { number: BigInt(number), networkId } } };
    }
    default:
      return unreachable(message);
  }
}

function unpackManagerMessage({ kind }: ManagerEnvelope): ManagerMessage | undefined {
  switch (kind.case) {
    case 'welcome': {
      const { sessionId, heartbeatMs } = kind.value;
      return { kind: 'welcome', sessionId, heartbeatMs };
    }
    case 'redirect':
      return { kind: 'redirect', leader: kind.value.leader };
    case 'assignments': {
      const { sequence, complete, changesJson } = kind.value;
      const changes =
        decodeJson<Extract<ManagerMessage, { kind: 'assignments' }>['changes']>(changesJson);
      return { kind: 'assignments', sequence: Number(sequence), complete, changes };
    }
    case 'reported':
      return { kind: 'reported', number: Number(kind.value.number) };
    case 'managers':
      return { kind: 'managers', addresses: kind.value.addresses };
    case 'role':
      return { kind: 'role', role: kind.value.role === 'manager' ? 'manager' : 'worker' };
    case 'alive':
      return { kind: 'alive' };
    case 'logRequest': {
      const { subscription, requestJson } = kind.value;
      return { kind: 'log-request', subscription, request: decodeJson(requestJson) };
    }
    case 'logEnd':
      return { kind: 'log-end', subscription: kind.value.subscription };
    case 'checkNetwork': {
      const { number, networkId } = kind.value;
      return { kind: 'check-network', number: Number(number), networkId: networkId as NetworkId };
    }
    default:
      return undefined;
  }
}
