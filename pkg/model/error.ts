/**
 * What can go wrong while operating, as one table: kinds are the set that Docker's `errdefs` uses; HTTP and gRPC
 * status follow from the kind. Bugs are assertions (`invariant.ts`), expected outcomes are values.
 */
export type ErrorKind =
  | 'not-found'
  | 'invalid'
  | 'conflict'
  | 'unauthorized'
  | 'forbidden'
  | 'unavailable'
  | 'not-modified'
  | 'not-implemented'
  | 'deadline'
  | 'cancelled'
  | 'system';

const HTTP_STATUS: Readonly<Record<ErrorKind, number>> = {
  'not-found': 404,
  invalid: 400,
  conflict: 409,
  unauthorized: 401,
  forbidden: 403,
  unavailable: 503,
  'not-modified': 304,
  'not-implemented': 501,
  deadline: 504,
  cancelled: 499,
  system: 500,
};

/**
 * An operating error that a user or another program may see. `message` is lower case, without a full stop: what was
 * attempted, on what, why it failed; where scripts know Docker's text, it is Docker's text.
 * `retry` tells an internal caller whether the same request can succeed later without a change.
 */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
  readonly kind: ErrorKind;
  /** Stable machine-readable code, `ERR_…`. */
  readonly code: string;
  readonly retry: boolean;
  /** Overrides the status of the kind where Docker answers differently. */
  readonly status: number;

  constructor(
    kind: ErrorKind,
    message: string,
    options: {
      readonly code?: string | undefined;
      readonly retry?: boolean | undefined;
      readonly status?: number | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.code = options.code ?? `ERR_${kind.toUpperCase().replaceAll('-', '_')}`;
    this.retry = options.retry ?? kind === 'unavailable';
    this.status = options.status ?? HTTP_STATUS[kind];
  }
}

/** The text of anything thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
