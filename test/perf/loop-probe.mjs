/**
 * Loaded into a program that is measured: on SIGUSR2 it writes how late its event loop was since the last time, and with
 * LOOP_PROFILE who ran meanwhile.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const folder = process.env.LOOP_PROBE;
if (folder !== undefined && process.argv[1]?.endsWith('manager.js')) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const session = process.env.LOOP_PROFILE ? new Session() : undefined;
  session?.connect();
  session?.post('Profiler.enable');
  session?.post('Profiler.start');
  process.on('SIGUSR2', () => {
    const ms = (nanoseconds) => nanoseconds / 1e6;
    const found = {
      count: delay.count,
      p50: ms(delay.percentile(50)),
      p99: ms(delay.percentile(99)),
      p999: ms(delay.percentile(99.9)),
      max: ms(delay.max),
    };
    session?.post('Profiler.stop', (_, answer) => {
      writeFileSync(`${folder}/${process.pid}.cpuprofile`, JSON.stringify(answer.profile));
      session.post('Profiler.start');
    });
    delay.reset();
    writeFileSync(`${folder}/${process.pid}.json`, JSON.stringify(found));
  });
}
