import { checkRoot, createCertificateRequest, renewalInstant } from '../../pkg/ca/index.ts';
import type { Clock, Logger, Random, Timer } from '../../pkg/io/index.ts';
import { ClusterError, errorMessage, type NodeRole } from '../../pkg/model/index.ts';
import {
  type CertifiedNode,
  type Credentials,
  fetchRootCertificate,
  leaveGroup,
  RpcClient,
  renewCertificate,
  requestCertificate,
} from '../../pkg/rpc/index.ts';

const RETRY_MS = 2_000;
/** setTimeout holds 31 bits of milliseconds. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export interface NewCertificate extends CertifiedNode {
  readonly keyPem: string;
}

/**
 * The next certificate of this node, with a new key, in the role that the cluster wants it to have. Asks one manager
 * after the other.
 * @throws ClusterError the last refusal
 */
export async function nextCertificate(
  managers: readonly string[],
  credentials: Credentials,
): Promise<NewCertificate> {
  const { csrPem, keyPem } = await createCertificateRequest();
  const issued = await anyManager(managers, credentials, (client) =>
    renewCertificate(client, csrPem),
  );
  return { ...issued, keyPem };
}

/** Take this manager's replica out of the group, following the leader; gives up quietly when nobody can do it. */
export async function leaveManagers(
  managers: readonly string[],
  credentials: Credentials,
  options: { readonly raftId: number; readonly log: Logger },
): Promise<void> {
  try {
    const answer = await anyManager(managers, credentials, (client) =>
      leaveGroup(client, options.raftId),
    );
    if (answer?.leader) {
      await anyManager([answer.leader], credentials, (client) =>
        leaveGroup(client, options.raftId),
      );
    }
  } catch (error) {
    options.log.warn('left without being taken out of the group of managers', {
      reason: errorMessage(error),
    });
  }
}

/** The first manager that answers decides; a refusal is final, an unreachable one is not. */
export async function firstCertificate(
  remotes: readonly string[],
  request: Omit<Parameters<typeof requestCertificate>[0], 'address' | 'rootPem'>,
): Promise<CertifiedNode> {
  let last: unknown;
  for (const address of remotes) {
    try {
      const rootPem = await fetchRootCertificate(address);
      checkRoot(request.token, rootPem);
      return await requestCertificate({ address, rootPem, ...request });
    } catch (error) {
      if (
        error instanceof ClusterError &&
        error.kind !== 'unavailable' &&
        error.kind !== 'deadline'
      )
        throw error;
      last = error;
    }
  }
  const reason = last instanceof Error ? last.message : String(last);
  throw new ClusterError('unavailable', `cannot join through ${remotes.join(', ')}: ${reason}`, {
    cause: last,
  });
}

async function anyManager<T>(
  managers: readonly string[],
  credentials: Credentials,
  ask: (client: RpcClient) => Promise<T>,
): Promise<T> {
  let last: unknown = new ClusterError('unavailable', 'no manager is known');
  for (const address of managers) {
    const client = RpcClient.connect(address, credentials);
    try {
      return await ask(client);
    } catch (error) {
      last = error;
    } finally {
      client.close();
    }
  }
  throw last;
}

/** Calls `renew` when the certificate is between 50 and 80 % of its life, and again until it succeeds. */
export class Renewal {
  readonly #options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Logger;
    readonly renew: () => Promise<void>;
  };
  #timer: Timer | undefined;

  constructor(options: {
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Logger;
    readonly renew: () => Promise<void>;
  }) {
    this.#options = options;
  }

  follow(certificatePem: string): void {
    const { clock, random } = this.#options;
    this.stop();
    const due = renewalInstant(certificatePem, random.float()) - clock.now();
    this.#timer = clock.after(Math.min(Math.max(due, 0), TIMER_MAX_MS), () => {
      if (due > TIMER_MAX_MS) this.follow(certificatePem);
      else this.#run();
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #run(): void {
    const { clock, log, renew } = this.#options;
    renew().catch((error: unknown) => {
      log.warn('certificate is not renewed yet', { reason: errorMessage(error) });
      this.#timer = clock.after(RETRY_MS, () => this.#run());
    });
  }
}

/** Runs one change of role after the other, and tries again what failed, until the wish is fulfilled or replaced. */
export class RoleFollower {
  readonly #options: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly change: (role: NodeRole) => Promise<void>;
  };
  #wanted: NodeRole | undefined;
  #busy = false;

  constructor(options: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly change: (role: NodeRole) => Promise<void>;
  }) {
    this.#options = options;
  }

  want(role: NodeRole): void {
    this.#wanted = role;
    if (this.#busy) return;
    this.#busy = true;
    this.#work();
  }

  #work(): void {
    const { clock, log, change } = this.#options;
    const role = this.#wanted;
    if (role === undefined) {
      this.#busy = false;
      return;
    }
    change(role).then(
      () => {
        if (this.#wanted === role) this.#wanted = undefined;
        this.#work();
      },
      (error: unknown) => {
        log.warn('role is not changed yet', { role, reason: errorMessage(error) });
        clock.after(RETRY_MS, () => this.#work());
      },
    );
  }
}
