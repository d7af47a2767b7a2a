/**
 * Loaded into a program that is measured: on SIGUSR2 it writes how late its event loop was since the last time, how much
 * of that it had a processor for, and with LOOP_PROFILE who ran meanwhile.
 */
import { openSync, readSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { createHistogram, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';

const folder = process.env.LOOP_PROBE;
/** Rounds of the loop from here on are listed. */
const LONG_MS = 10;

const ms = (nanoseconds) => nanoseconds / 1e6;
const summary = (histogram) => ({
  count: histogram.count,
  p50: ms(histogram.percentile(50)),
  p99: ms(histogram.percentile(99)),
  p999: ms(histogram.percentile(99.9)),
  max: ms(histogram.max),
});

/**
 * A timer of one millisecond that asks the kernel what the main thread did since the last round: schedstat has the
 * nanoseconds that it ran and those that it waited for a processor. What it ran is the program's own doing.
 */
function watchRounds() {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const bytes = Buffer.alloc(80);
  const own = createHistogram();
  const collecting = createHistogram();
  let long = [];
  let collections = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration, detail } of list.getEntries()) {
      collecting.record(Math.max(1, Math.round(duration * 1e6)));
      collections.push({ startTime, duration, kind: detail.kind });
    }
    collections = collections.slice(-20);
  }).observe({ entryTypes: ['gc'] });
  const sample = () => {
    const length = readSync(file, bytes, 0, bytes.length, 0);
    const [ran, waited] = bytes.toString('latin1', 0, length).split(' ').map(Number);
    return { at: performance.now(), ran, waited };
  };
  const note = (from, to) => {
    const [wallMs, ranMs] = [to.at - from.at, ms(to.ran - from.ran)];
    // The collector reports a turn later.
    setImmediate(() => {
      const within = collections.filter(
        ({ startTime }) => startTime >= from.at && startTime <= to.at,
      );
      const gcMs = within.reduce((sum, { duration }) => sum + duration, 0);
      const waitedMs = ms(to.waited - from.waited);
      long.push({ from: from.at, to: to.at, wallMs, ranMs, waitedMs, gcMs });
    });
  };
  let last = sample();
  setInterval(() => {
    const now = sample();
    own.record(Math.max(1, now.ran - last.ran));
    if (now.at - last.at > LONG_MS) note(last, now);
    last = now;
  }, 1).unref();
  return {
    found: () => ({ own: summary(own), gc: summary(collecting), long }),
    restart: () => {
      own.reset();
      collecting.reset();
      long = [];
      last = sample();
    },
  };
}

const measured = process.env.LOOP_EMPTY !== undefined || process.argv[1]?.endsWith('manager.js');
if (folder !== undefined && measured) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const rounds = watchRounds();
  const session = process.env.LOOP_PROFILE ? new Session() : undefined;
  session?.connect();
  session?.post('Profiler.enable');
  session?.post('Profiler.setSamplingInterval', { interval: 500 });
  session?.post('Profiler.start');
  let phase = 0;
  process.on('SIGUSR2', () => {
    const found = {
      all: summary(delay),
      ...rounds.found(),
      origin: Number(process.hrtime.bigint()) / 1e3 - performance.now() * 1e3,
    };
    session?.post('Profiler.stop', (_, answer) => {
      writeFileSync(
        `${folder}/${process.pid}-${++phase}.cpuprofile`,
        JSON.stringify({ ...answer.profile, long: found.long, origin: found.origin }),
      );
      session.post('Profiler.start');
    });
    writeFileSync(`${folder}/${process.pid}.json`, JSON.stringify(found));
    // What it took to write all this is not the program's doing.
    delay.reset();
    rounds.restart();
  });
}
