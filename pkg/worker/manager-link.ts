import type { AttachmentAnswer, AttachmentWish } from '../model/index.ts';
import {
  type AgentSession,
  type Credentials,
  claimAttachments,
  openSession,
  type PublishedLogs,
  publishLogs,
  RpcClient,
} from '../rpc/index.ts';

/** A connection to one manager: what an agent asks of it. */
export interface ManagerLink {
  /** Throws `unavailable` when the manager cannot be reached, `deadline` when that is not known after so many milliseconds: ask again. */
  ready(timeoutMs: number): Promise<void>;
  openSession(): AgentSession;
  claimAttachments(wishes: readonly AttachmentWish[]): Promise<readonly AttachmentAnswer[]>;
  publishLogs(subscription: string, batches: AsyncIterable<PublishedLogs>): Promise<void>;
  close(): void;
}

/** Over gRPC with this node's certificate. `address`: host:port. */
export function connectManager(address: string, credentials: Credentials): ManagerLink {
  const client = RpcClient.connect(address, credentials);
  return {
    ready: (timeoutMs) => client.ready(timeoutMs),
    openSession: () => openSession(client),
    claimAttachments: (wishes) => claimAttachments(client, wishes),
    publishLogs: (subscription, batches) => publishLogs(client, subscription, batches),
    close: () => client.close(),
  };
}
