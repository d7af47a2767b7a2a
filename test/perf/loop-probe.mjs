/** Loaded into a program that is measured: on SIGUSR2 it writes how late its event loop was since the last time. */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const folder = process.env.LOOP_PROBE;
if (folder !== undefined && process.argv[1]?.endsWith('manager.js')) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on('SIGUSR2', () => {
    const ms = (nanoseconds) => nanoseconds / 1e6;
    const found = {
      count: delay.count,
      p50: ms(delay.percentile(50)),
      p99: ms(delay.percentile(99)),
      p999: ms(delay.percentile(99.9)),
      max: ms(delay.max),
    };
    delay.reset();
    writeFileSync(`${folder}/${process.pid}.json`, JSON.stringify(found));
  });
}
