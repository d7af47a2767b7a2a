import { type AddressChoice, addressAgain, type LinkAddress } from './address.ts';
import { addressOf } from './manager-folder.ts';
import type { NodeRecord } from './node-record.ts';

/**
 * The record of a host that may have got another address since it was written; the same one when nothing changed.
 * Packets of overlay networks follow, unless they were given an address of their own.
 * @throws ClusterError invalid when it cannot be decided
 */
export function readdressed(
  record: NodeRecord,
  configured: string,
  addresses?: readonly LinkAddress[],
): NodeRecord {
  const before = record.chosen ?? { asked: record.advertiseAddress, configured: '' };
  const advertiseAddress = addressAgain(record.advertiseAddress, before, configured, addresses);
  const ordered = configured !== '' && configured !== before.configured;
  if (!ordered && advertiseAddress === record.advertiseAddress) return record;
  const chosen: AddressChoice = ordered ? { asked: '', configured } : before;
  const dataPathAddress =
    record.dataPathAddress === record.advertiseAddress ? advertiseAddress : record.dataPathAddress;
  const next = { ...record, advertiseAddress, dataPathAddress, chosen };
  const managers = record.managers.map((address) =>
    address === addressOf(record) ? addressOf(next) : address,
  );
  return { ...next, managers };
}
