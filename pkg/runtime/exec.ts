import { ShimAttachment } from './attachment.ts';
import { execPlan, type Placement, type PlanFacts } from './container-plan.ts';
import { FRAME, windowSize } from './frame.ts';
import { failure, launch } from './launch.ts';
import { type ExecHandle, type ExitStatus, RuntimeError } from './runtime.ts';
import { shimEnded } from './shim-connection.ts';
import { signalNumber } from './signals.ts';
import type { ContainerSpec, ExecSpec } from './spec.ts';
import type { StateDir } from './state-dir.ts';
import { readStatus } from './status.ts';

/** What exec needs from the runtime. */
export interface ExecHost {
  readonly initPath: string;
  readonly dirs: StateDir;
  readonly facts: PlanFacts;
}

const LOST_CODE = 137;

/** See `Runtime.exec`. The exec's directory goes when it has ended. */
export async function execInContainer(
  host: ExecHost,
  container: ContainerSpec,
  spec: ExecSpec,
  target: { readonly placement: Placement; readonly pid: number; readonly startTime: string },
): Promise<ExecHandle> {
  const plan = execPlan(container, spec, host.facts, target);
  const dir = host.dirs.execPath(container.id, spec.execId);
  host.dirs.make(dir);
  try {
    const { pid } = await launch(host.initPath, 'exec', dir, plan);
    const attachment = await ShimAttachment.open(dir);
    const exit = shimEnded(dir).then(() => {
      const status = readStatus(dir);
      host.dirs.remove(dir);
      return status?.exit ?? { code: LOST_CODE, oomKilled: false, finishedAtNs: 0n };
    });
    exit.catch(() => undefined); // whoever waits for it hears of it
    const answer = await attachment.request(FRAME.start);
    if (answer) {
      attachment.close();
      await exit;
      throw failure(answer);
    }
    return handle(spec.execId, pid, attachment, exit);
  } catch (error) {
    host.dirs.remove(dir);
    throw error;
  }
}

function handle(
  execId: string,
  pid: number,
  attachment: ShimAttachment,
  exit: Promise<ExitStatus>,
): ExecHandle {
  const ask = async (type: number, payload: Buffer): Promise<void> => {
    const answer = await attachment.request(type, payload);
    if (answer) throw new RuntimeError('conflict', answer);
  };
  return {
    execId,
    pid,
    stdout: attachment.stdout,
    stderr: attachment.stderr,
    stdin: attachment.stdin,
    close: () => attachment.close(),
    wait: () => exit,
    resize: (rows, cols) => ask(FRAME.resize, windowSize(rows, cols)),
    kill: (signal) => ask(FRAME.kill, Buffer.from([0, 0, 0, signalNumber(signal)])),
  };
}
