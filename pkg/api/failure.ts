import { ClusterError, type ErrorKind, errorMessage, type Refusal } from '../model/index.ts';

/** gRPC codes whose names Docker lets users see. */
type GrpcCode =
  | 'InvalidArgument'
  | 'NotFound'
  | 'AlreadyExists'
  | 'FailedPrecondition'
  | 'Unimplemented'
  | 'Unknown';

const KIND: Readonly<Record<GrpcCode, ErrorKind>> = {
  InvalidArgument: 'invalid',
  NotFound: 'not-found',
  AlreadyExists: 'conflict',
  FailedPrecondition: 'invalid',
  Unimplemented: 'not-implemented',
  Unknown: 'system',
};

/** An error as SwarmKit's control API words it; scripts match on this text. */
export function controlError(code: GrpcCode, description: string): ClusterError {
  return new ClusterError(KIND[code], `rpc error: code = ${code} desc = ${description}`);
}

export function notFound(what: string, asked: string): ClusterError {
  return new ClusterError('not-found', `${what} ${asked} not found`);
}

export function invalid(message: string, cause?: unknown): ClusterError {
  return new ClusterError('invalid', message, { cause });
}

/** What a client's `?version=N` gets when the object's spec has moved on (Docker: 500). */
export function outOfSequence(): ClusterError {
  return controlError('Unknown', 'update out of sequence');
}

/** A change that a transaction cannot take in. */
export function refusalError(refusal: Refusal): ClusterError {
  if (refusal.reason === 'missing') return notFound(refusal.kind, refusal.id);
  if (refusal.reason === 'stale') return outOfSequence();
  return nameConflict(refusal.kind, refusal.name);
}

export function nameConflict(kind: string, name: string): ClusterError {
  if (kind === 'network') {
    return new ClusterError('conflict', `network with name ${name} already exists`);
  }
  if (kind === 'service') {
    return controlError(
      'AlreadyExists',
      `name conflicts with an existing object: service ${name} already exists`,
    );
  }
  return controlError('AlreadyExists', `${kind} ${name} already exists`);
}

export interface HttpFailure {
  readonly status: number;
  readonly message: string;
}

/** Status and text of anything that a route threw. */
export function httpFailure(error: unknown): HttpFailure {
  if (error instanceof ClusterError) return { status: error.status, message: error.message };
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  const known = typeof status === 'number' && status >= 400 && status < 600;
  return { status: known ? status : 500, message: errorMessage(error) };
}
