import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(async () => {
  host = await TestHost.open();
});
afterAll(() => host.close());

test('an exec whose output has ended has its exit code', async () => {
  const { tasks, execs } = host.engine;
  const spec = host.task('sleep 1000', { container: { Image: 'busybox' } });
  const { containerId } = await tasks.createTask(spec);
  await tasks.startTask(spec.taskId);
  const Cmd = ['sh', '-c', 'echo out; echo err >&2; exit 3'];
  const one = async (): Promise<unknown> => {
    const id = await execs.create(containerId, { Cmd, AttachStdout: true, AttachStderr: true });
    const stream = await execs.start(id, { tty: false });
    const said = await Promise.all([text(stream.stdout), text(stream.stderr)]);
    const { ExitCode, Running } = await execs.inspect(id);
    return [...said, ExitCode, Running];
  };
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all(Array.from({ length: 5 }, one));
    expect(answers).toEqual(Array(5).fill(['out\n', 'err\n', 3, false]));
  }
  await tasks.removeTask(spec.taskId);
});
