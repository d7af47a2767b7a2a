import { ClusterError } from './error.ts';

/** Throw the refusal of a spec: 400, in the words that Docker's users know from its gRPC layer. */
export function refuse(text: string): never {
  throw new ClusterError('invalid', `rpc error: code = InvalidArgument desc = ${text}`);
}
