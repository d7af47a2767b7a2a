import type { AuditedPart, Note } from './audit.ts';
import type { ConnectChoice } from './connect/choice.ts';
import type { HostSide } from './host-side.ts';
import { type Change, EVERY_CHANGE } from './kernel/kernel.ts';
import type { Overlay } from './overlay.ts';
import type { Sandbox } from './sandbox.ts';

/** What of a host can be read back; `settle…` puts right and returns the number of operations that took. */
export interface Auditees {
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly host: HostSide;
  readonly connect: ConnectChoice | undefined;
  readonly sandboxes: ReadonlyMap<string, Sandbox>;
  /** False once nothing is to be touched any more. */
  isOpen(): boolean;
  linksDiffer(overlay: Overlay): boolean;
  settleHub(overlay: Overlay): number;
  settleHost(): number;
  settleSandbox(sandbox: Sandbox): number;
  /** What a container did to its own namespace stops neither the others nor the host. */
  attempt(sandbox: Sandbox, work: () => void): void;
}

/** Ways first, then what uses them. */
export function auditedParts(auditees: Auditees): readonly AuditedPart[] {
  const { overlays, host, connect } = auditees;
  const sandboxes = [...auditees.sandboxes.values()];
  const isThere = (sandbox: Sandbox): boolean => auditees.sandboxes.get(sandbox.id) === sandbox;
  const lookInto = (sandbox: Sandbox, changes: ReadonlySet<Change>, note: Note): void => {
    const { id, rulesets } = sandbox;
    auditees.attempt(sandbox, () => {
      if (changes.has('links')) note(`container ${id} links`, auditees.settleSandbox(sandbox));
      if (changes.has('tables')) note(`container ${id} tables`, rulesets.repair().length);
    });
  };
  const hubs = [...overlays].map(
    ([networkId, overlay]): AuditedPart => ({
      namespace: overlay.namespace,
      isThere: () => overlays.get(networkId) === overlay,
      look: (changes, note) => {
        const isBroken = auditees.linksDiffer(overlay);
        if (!isBroken && !changes.has('entries')) return;
        note(`network ${networkId}`, auditees.settleHub(overlay));
        if (!isBroken) return;
        // A link that was made anew is bare at its other end, of which the kernel tells nobody but us.
        for (const sandbox of sandboxes) {
          if (isThere(sandbox) && sandbox.isOn(networkId)) lookInto(sandbox, EVERY_CHANGE, note);
        }
      },
    }),
  );
  const { isOpen } = auditees;
  const encryption: AuditedPart = {
    isThere: isOpen,
    look: (_, note) => note('encryption', host.encryption.repair()),
  };
  const choice: AuditedPart = {
    isThere: isOpen,
    look: (_, note) => note('choice at connect', connect?.repair() ?? 0),
  };
  const own: AuditedPart = {
    namespace: host.namespace,
    isThere: isOpen,
    look: (changes, note) => {
      if (changes.has('links')) note('host links', auditees.settleHost());
      if (changes.has('tables')) note('host tables', host.rulesets.repair().length);
    },
  };
  const containers = sandboxes.map(
    (sandbox): AuditedPart => ({
      namespace: sandbox.namespace,
      isThere: () => isThere(sandbox),
      look: (changes, note) => lookInto(sandbox, changes, note),
    }),
  );
  return [...hubs, encryption, own, choice, ...containers];
}
