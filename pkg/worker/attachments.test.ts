import { expect, test } from 'vitest';
import { silentLogger, systemClock } from '../io/index.ts';
import type { AttachmentAnswer, AttachmentWish, NetworkId } from '../model/index.ts';
import { Attachments } from './attachments.ts';

const NET = 'net' as NetworkId;
const wish = (containerId: string, network = 'app'): AttachmentWish => ({
  containerId,
  containerName: containerId,
  network,
  aliases: [],
});
const grant = ({ containerId, network }: AttachmentWish): AttachmentAnswer => ({
  containerId,
  network,
  networkId: NET,
  networkName: 'app',
  address: '10.0.1.5/24',
});

/** A leader that writes down what it was told; it grants everything unless told otherwise. */
function leader(answer: (wish: AttachmentWish) => AttachmentAnswer = grant): {
  readonly heard: string[][];
  claim(wishes: readonly AttachmentWish[]): Promise<readonly AttachmentAnswer[]>;
} {
  const heard: string[][] = [];
  return {
    heard,
    claim: async (wishes): Promise<readonly AttachmentAnswer[]> => {
      heard.push(wishes.map(({ containerId, network }) => `${containerId}@${network}`));
      return wishes.map(answer);
    },
  };
}

function attachments(): Attachments {
  return new Attachments({ clock: systemClock, log: silentLogger });
}

test('an attachment is there when the leader granted it and the kernel holds the table', async () => {
  const one = attachments();
  const tables = new Set<NetworkId>();
  one.join((id) => tables.has(id));
  const { claim, heard } = leader();
  one.began(claim);
  const attached = one.attach([wish('c1')]);
  let done = false;
  void attached.then(() => {
    done = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toBe(false);
  tables.add(NET);
  one.tablesApplied();
  expect(await attached).toMatchObject([{ networkId: NET, address: '10.0.1.5/24' }]);
  expect(one.networkIdOf('c1', 'app')).toBe(NET);
  expect(heard.at(-1)).toEqual(['c1@app']);
});

test('a container that starts before there is a session waits for one', async () => {
  const one = attachments();
  one.join(() => true);
  const attached = one.attach([wish('c1')]);
  one.began(leader().claim);
  expect(await attached).toHaveLength(1);
});

test('every session begins with everything that is held, and a release is told', async () => {
  const one = attachments();
  one.join(() => true);
  one.keep(wish('c1'));
  one.keep(wish('c1', 'other'));
  one.keep(wish('c2'));
  const first = leader();
  one.began(first.claim);
  await expect.poll(() => first.heard).toEqual([['c1@app', 'c1@other', 'c2@app']]);
  one.release('c1', 'other');
  await expect.poll(() => first.heard.at(-1)).toEqual(['c1@app', 'c2@app']);
  one.ended();
  one.release('c1');
  const second = leader();
  one.began(second.claim);
  await expect.poll(() => second.heard).toEqual([['c2@app']]);
});

test('a refused attachment is not wished for any longer', async () => {
  const one = attachments();
  one.join(() => true);
  const text = 'network app not manually attachable';
  const { claim, heard } = leader(({ containerId, network }) => ({
    containerId,
    network,
    error: { kind: 'forbidden', text },
  }));
  one.began(claim);
  await expect(one.attach([wish('c1')])).rejects.toMatchObject({ status: 403, message: text });
  await expect.poll(() => heard.at(-1)).toEqual([]);
});
