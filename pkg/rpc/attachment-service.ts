import type { AttachmentAnswer, AttachmentWish, NodeId } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { decodeJson, encodeJson } from './codec.ts';
import { Attachments } from './gen/attachments.pb.ts';
import { type ServiceBinding, unary } from './server.ts';

const CLAIM_DEADLINE_MS = 15_000;

/** `claim` makes the store hold exactly these attachments of the calling node; one answer per wish. */
export function attachmentService(
  claim: (
    nodeId: NodeId,
    wishes: readonly AttachmentWish[],
  ) => Promise<readonly AttachmentAnswer[]>,
): ServiceBinding {
  return {
    service: Attachments,
    methods: [
      unary(
        Attachments.method.claim,
        ['worker', 'manager'],
        async ({ wishesJson }, { nodeId }) => ({
          answersJson: encodeJson(await claim(nodeId, decodeJson(wishesJson))),
        }),
      ),
    ],
  };
}

/** Asks the leader for everything this node wants attached. Throws `unavailable` when `client` does not lead. */
export async function claimAttachments(
  client: RpcClient,
  wishes: readonly AttachmentWish[],
): Promise<readonly AttachmentAnswer[]> {
  const request = { wishesJson: encodeJson(wishes) };
  const options = { deadlineMs: CLAIM_DEADLINE_MS };
  const answer = await client.unary(Attachments.method.claim, request, options);
  return decodeJson(answer.answersJson);
}
