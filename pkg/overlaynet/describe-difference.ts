import { unreachable } from '../model/index.ts';
import type { FdbEntry, Operation } from './kernel/kernel.ts';

/** An operation that the audit would do, said as what is wrong now. */
export function describeDifference(operation: Operation): string {
  switch (operation.do) {
    case 'add-link':
      return `link ${operation.link.name} is missing`;
    case 'delete-link':
      return `link ${operation.name} is not ours to have`;
    case 'change-link':
      return `link ${operation.name} is not set up as it should be`;
    case 'set-checksum-offload':
      return `link ${operation.name} leaves checksums to the wrong one`;
    case 'change-port':
      return `bridge port ${operation.name} is not set up as it should be`;
    case 'add-address':
      return `address ${operation.address.address} of ${operation.address.link} is missing`;
    case 'delete-address':
      return `address ${operation.address.address} of ${operation.address.link} is foreign`;
    case 'add-route':
      return `route ${operation.route.destination} in table ${operation.route.table} is missing`;
    case 'delete-route':
      return `route ${operation.route.destination} in table ${operation.route.table} is stale`;
    case 'add-rule':
      return `rule for mark ${operation.rule.mark} is missing`;
    case 'delete-rule':
      return `rule for mark ${operation.rule.mark} is stale`;
    case 'put-neighbour':
      return `neighbour entry ${operation.neighbour.address} ${operation.neighbour.mac} is missing`;
    case 'delete-neighbour':
      return `neighbour entry ${operation.neighbour.address} ${operation.neighbour.mac} is stale`;
    case 'put-fdb':
      return `${forwarding(operation.entry)} is missing`;
    case 'delete-fdb':
      return `${forwarding(operation.entry)} is stale`;
    default:
      return unreachable(operation);
  }
}

function forwarding({ link, mac, tunnel }: FdbEntry): string {
  return tunnel === undefined
    ? `bridge entry ${mac} at ${link}`
    : `tunnel entry ${mac} to ${tunnel}`;
}

/** A table of nf_tables that the audit would replace. */
export function describeTable(table: string): string {
  return `table ${table} was changed`;
}
