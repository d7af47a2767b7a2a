import type { NetworkCheck, NetworkId } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { decodeJson, encodeJson } from './codec.ts';
import { NetworkChecks } from './gen/network.pb.ts';
import { type ServiceBinding, unary } from './server.ts';

/** Longer than any node is waited for. */
const CHECK_DEADLINE_MS = 20_000;

/** `check` asks every node that takes part in the network. */
export function networkService(
  check: (networkId: NetworkId) => Promise<NetworkCheck>,
): ServiceBinding {
  return {
    service: NetworkChecks,
    methods: [
      unary(NetworkChecks.method.check, ['manager'], async ({ networkId }) => ({
        checkJson: encodeJson(await check(networkId as NetworkId)),
      })),
    ],
  };
}

/** Throws `unavailable` when `client` does not lead, `not-found` for a network that it does not know. */
export async function checkNetwork(client: RpcClient, networkId: NetworkId): Promise<NetworkCheck> {
  const options = { deadlineMs: CHECK_DEADLINE_MS };
  const answer = await client.unary(NetworkChecks.method.check, { networkId }, options);
  return decodeJson(answer.checkJson);
}
