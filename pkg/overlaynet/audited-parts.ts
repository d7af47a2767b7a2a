import type { AuditedPart } from './audit.ts';
import type { HostSide } from './host-side.ts';
import type { Overlay } from './overlay.ts';
import type { Sandbox } from './sandbox.ts';

/** What of a host can be read back; `settle…` puts right and returns the number of operations that took. */
export interface Auditees {
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly host: HostSide;
  readonly sandboxes: Iterable<Sandbox>;
  linksDiffer(overlay: Overlay): boolean;
  settleHub(overlay: Overlay): number;
  settleHost(): number;
  settleSandbox(sandbox: Sandbox): number;
  /** What a container did to its own namespace stops neither the others nor the host. */
  attempt(sandbox: Sandbox, work: () => void): void;
}

/** Ways first, then what uses them. */
export function auditedParts(auditees: Auditees): readonly AuditedPart[] {
  const { overlays, host, sandboxes } = auditees;
  const hubs = [...overlays].map(
    ([networkId, overlay]): AuditedPart => ({
      namespace: overlay.namespace,
      look: (changes, note) => {
        const doubtful = changes.has('entries') || auditees.linksDiffer(overlay);
        if (doubtful) note(`network ${networkId}`, auditees.settleHub(overlay));
      },
    }),
  );
  const encryption: AuditedPart = {
    look: (_, note) => note('encryption', host.encryption.repair()),
  };
  const own: AuditedPart = {
    namespace: host.namespace,
    look: (changes, note) => {
      if (changes.has('links')) note('host links', auditees.settleHost());
      if (changes.has('tables')) note('host tables', host.rulesets.repair().length);
    },
  };
  const containers = [...sandboxes].map(
    (sandbox): AuditedPart => ({
      namespace: sandbox.namespace,
      look: (changes, note) => {
        const { id, rulesets } = sandbox;
        auditees.attempt(sandbox, () => {
          if (changes.has('links')) note(`container ${id} links`, auditees.settleSandbox(sandbox));
          if (changes.has('tables')) note(`container ${id} tables`, rulesets.repair().length);
        });
      },
    }),
  );
  return [...hubs, encryption, own, ...containers];
}
