/** One JSON object of the streams that `docker pull` and `docker load` print. */
export interface Progress {
  readonly status?: string | undefined;
  readonly id?: string | undefined;
  readonly progressDetail?:
    | { readonly current?: number | undefined; readonly total?: number | undefined }
    | undefined;
  readonly progress?: string | undefined;
  readonly stream?: string | undefined;
  readonly aux?: object | undefined;
}

export type OnProgress = (progress: Progress) => void;

const BAR = 50;
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A layer's progress with the bar that old clients print as it is. */
export function transferProgress(
  status: string,
  id: string,
  { current, total }: { readonly current: number; readonly total: number },
): Progress {
  const filled = total > 0 ? Math.min(BAR, Math.floor((current / total) * BAR)) : 0;
  const bar = `[${'='.repeat(filled)}>${' '.repeat(BAR - filled)}]`;
  return {
    status,
    id,
    progressDetail: { current, total },
    progress: `${bar}  ${humanBytes(current)}/${humanBytes(total)}`,
  };
}

function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(4))}${UNITS[unit]}`;
}
