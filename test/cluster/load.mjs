/**
 * Asks a web server without pause until SIGTERM: half of the workers open a new connection for each request, half keep
 * theirs. Prints {"requests":n,"failed":n,"errors":[…],"versions":{…}}. Nothing is tried twice: a failure is a failure.
 *   node load.mjs URL WORKERS
 */
import { Agent, get } from 'node:http';

const [url, workers = '8'] = process.argv.slice(2);
const result = { requests: 0, failed: 0, errors: [], versions: {} };
let stopping = false;
process.on('SIGTERM', () => {
  stopping = true;
});

const once = (agent) =>
  new Promise((settle) => {
    const call = get(url, { agent, timeout: 5000 }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', (error) => settle(error.code ?? error.message));
      response.on('end', () => {
        const version = /version (\S+);/.exec(text)?.[1] ?? 'unknown';
        result.versions[version] = (result.versions[version] ?? 0) + 1;
        settle(response.statusCode === 200 ? undefined : `status ${response.statusCode}`);
      });
    });
    call.on('timeout', () => call.destroy(new Error('timeout')));
    call.on('error', (error) => settle(error.code ?? error.message));
  });

async function worker(keepAlive) {
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  while (!stopping) {
    const error = await once(agent);
    result.requests += 1;
    if (error !== undefined) {
      result.failed += 1;
      if (result.errors.length < 20) result.errors.push(`${keepAlive ? 'kept' : 'new'}: ${error}`);
    }
    // Two cores carry six hosts as well: leave them air.
    await new Promise((settle) => setTimeout(settle, 5));
  }
  agent.destroy();
}

await Promise.all(Array.from({ length: Number(workers) }, (_, at) => worker(at % 2 === 0)));
process.stdout.write(`${JSON.stringify(result)}\n`);
