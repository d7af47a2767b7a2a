/**
 * Asks the example server without pause until SIGTERM. Over HTTP half of the workers open a new connection for each
 * request and half keep theirs; over UDP half take a new port for each datagram. Prints
 * {"requests":n,"failed":n,"errors":[…],"versions":{…},"slowestMs":n}. Nothing is tried twice: a failure is a failure.
 * After the first answer it says `begun` on stderr.
 *   node load.mjs http://ADDRESS:PORT/|udp://ADDRESS:PORT WORKERS [PAUSE_MS]
 */
import { createSocket } from 'node:dgram';
import { Agent, get } from 'node:http';

const ANSWER_WITHIN_MS = 5000;
const [address = '', workers = '8', pauseMs = '5'] = process.argv.slice(2);
const url = new URL(address);
const result = { requests: 0, failed: 0, errors: [], versions: {}, slowestMs: 0 };
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});

function count(text) {
  const version = /version (\S+);/.exec(text)?.[1] ?? 'unknown';
  result.versions[version] = (result.versions[version] ?? 0) + 1;
}

const overHttp = (agent) =>
  new Promise((settle) => {
    const call = get(url, { agent, timeout: ANSWER_WITHIN_MS }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', (error) => settle(error.code ?? error.message));
      response.on('end', () => {
        count(text);
        settle(response.statusCode === 200 ? undefined : `status ${response.statusCode}`);
      });
    });
    call.on('timeout', () => call.destroy(new Error('timeout')));
    call.on('error', (error) => settle(error.code ?? error.message));
  });

const overUdp = (socket) =>
  new Promise((settle) => {
    const end = (error) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      settle(error);
    };
    const timer = setTimeout(() => end('timeout'), ANSWER_WITHIN_MS);
    socket.on('message', (answer) => {
      count(answer.toString());
      end();
    });
    socket.on('error', (error) => end(error.code ?? error.message));
    socket.send('hello', Number(url.port), url.hostname);
  });

/** One request over what is kept, or over something new; opened and closed here. */
function requester(kept) {
  if (url.protocol === 'udp:') {
    let socket = createSocket('udp4');
    return {
      ask: async () => {
        const error = await overUdp(socket);
        // What comes late would be taken for the answer to the next question.
        if (!kept || error !== undefined) {
          socket.close();
          socket = createSocket('udp4');
        }
        return error;
      },
      end: () => socket.close(),
    };
  }
  const agent = new Agent({ keepAlive: kept, maxSockets: 1 });
  return { ask: () => overHttp(agent), end: () => agent.destroy() };
}

async function worker(kept) {
  const { ask, end } = requester(kept);
  while (!stopping) {
    const at = performance.now();
    const error = await ask();
    if (result.requests === 0) process.stderr.write('begun\n');
    result.requests += 1;
    result.slowestMs = Math.max(result.slowestMs, Math.round(performance.now() - at));
    if (error !== undefined) {
      result.failed += 1;
      const asked = new Date(Date.now() - (performance.now() - at)).toISOString();
      const took = Math.round(performance.now() - at);
      const through = kept ? 'kept' : 'new';
      if (result.errors.length < 20)
        result.errors.push(`${through}, asked at ${asked}, after ${took} ms: ${error}`);
    }
    // Two cores carry six hosts as well: leave them air.
    await new Promise((settle) => setTimeout(settle, Number(pauseMs)));
  }
  end();
}

await Promise.all(Array.from({ length: Number(workers) }, (_, at) => worker(at % 2 === 0)));
process.stdout.write(`${JSON.stringify(result)}\n`);
