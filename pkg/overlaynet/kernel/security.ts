import {
  type AssociationId,
  deleteAssociation,
  deletePolicy,
  dumpAssociations,
  dumpPolicies,
  hasCode,
  isIpv6,
  type NetlinkSocket,
  newAssociation,
  parseAssociation,
  parsePolicy,
  putPolicy,
  type SecurityAssociation,
  type SecurityPolicy,
} from 'vxlan-netlink';

/** IPsec state of a namespace; keys are not read back, the numbers that name associations follow from them. */
export interface ObservedSecurity {
  readonly associations: readonly SecurityAssociation[];
  readonly policies: readonly SecurityPolicy[];
}

export type SecurityOperation =
  | {
      readonly do: 'add-association';
      readonly association: SecurityAssociation;
      /** AES key and 4 bytes of salt (RFC 4106). */
      readonly key: Uint8Array;
    }
  | { readonly do: 'delete-association'; readonly association: AssociationId }
  | { readonly do: 'put-policy'; readonly policy: SecurityPolicy }
  | {
      readonly do: 'delete-policy';
      readonly policy: Pick<SecurityPolicy, 'direction' | 'selector'>;
    };

/** The part of a namespace that encrypts. */
export interface Security {
  /** Whether packets of a host with this address can be sent encrypted: ESP with AES-GCM is there, or its module can be loaded. */
  canEncrypt(self: string): boolean;
  /** Nothing where the kernel has no IPsec at all. */
  observe(): ObservedSecurity;
  /** In order; stops at the first refusal. Taking away what is gone already is none. */
  apply(operations: readonly SecurityOperation[]): void;
}

const NO_IPSEC = ['EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EAFNOSUPPORT'] as const;
/** TEST-NET-1 (RFC 5737): no host has these addresses. */
const TRIAL = { source: '192.0.2.1', destination: '192.0.2.2', spi: 0x4d75, request: 0x4d75 };
/** Nor these (RFC 3849). */
const TRIAL_IPV6 = { ...TRIAL, source: '2001:db8::1', destination: '2001:db8::2' };

/** @param open a socket of the namespace; called for each use */
export function linuxSecurity(open: () => NetlinkSocket): Security {
  return {
    canEncrypt: (self): boolean => {
      const trial = isIpv6(self) ? TRIAL_IPV6 : TRIAL;
      try {
        using socket = open();
        socket.request(newAssociation(trial, Buffer.alloc(20, 1)));
        socket.request(deleteAssociation(trial));
        return true;
      } catch {
        return false;
      }
    },
    observe: (): ObservedSecurity => {
      try {
        using socket = open();
        return {
          associations: socket.dump(dumpAssociations()).map(parseAssociation),
          policies: socket.dump(dumpPolicies()).flatMap((body) => parsePolicy(body) ?? []),
        };
      } catch (error) {
        if (hasCode(error, ...NO_IPSEC)) return { associations: [], policies: [] };
        throw error;
      }
    },
    apply: (operations): void => {
      if (operations.length === 0) return;
      using socket = open();
      for (const operation of operations) applyOne(socket, operation);
    },
  };
}

function applyOne(socket: NetlinkSocket, operation: SecurityOperation): void {
  switch (operation.do) {
    case 'add-association':
      socket.request(newAssociation(operation.association, operation.key));
      return;
    case 'put-policy':
      socket.request(putPolicy(operation.policy));
      return;
    default:
      try {
        socket.request(
          operation.do === 'delete-policy'
            ? deletePolicy(operation.policy)
            : deleteAssociation(operation.association),
        );
      } catch (error) {
        if (!hasCode(error, 'ENOENT', 'ESRCH')) throw error;
      }
  }
}
