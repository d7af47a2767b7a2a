import { describe, expect, test } from 'vitest';
import { readAcknowledgement } from './acknowledgement.ts';
import { encodeMac, parseCidr } from './address.ts';
import {
  eachAttribute,
  encodeBody,
  MessageFlag,
  MessageWriter,
  readAttributes,
  readString,
  splitMessages,
} from './message.ts';

describe('attributes', () => {
  test('are padded to four bytes and carry their unpadded length', () => {
    const body = encodeBody((w) => w.attributeU8(7, 255).attributeString(3, 'eth0'));
    expect(body.toString('hex')).toBe('05000700ff00000009000300657468300000000000'.slice(0, 40));
  });

  test('nest with the nested bit and an outer length', () => {
    const body = encodeBody((w) => w.nested(18, (inner) => inner.attributeBe32(1, 7)));
    expect(body.toString('hex')).toBe('0c001280' + '08000100' + '00000007');
    const outer = readAttributes(body).get(18) ?? Buffer.alloc(0);
    expect(readAttributes(outer).get(1)?.readUInt32BE(0)).toBe(7);
  });

  test('of a list keep their order and repeated types', () => {
    const body = encodeBody((w) => w.attributeU32(1, 5).attributeU32(1, 6));
    expect([...eachAttribute(body)].map(([, value]) => value.readUInt32LE(0))).toEqual([5, 6]);
  });

  test('with a length beyond the buffer end the walk', () => {
    const body = Buffer.from('0800010005000000ff000200', 'hex');
    expect([...readAttributes(body).keys()]).toEqual([1]);
  });

  test('grow the buffer', () => {
    const writer = new MessageWriter(4);
    writer.attribute(1, Buffer.alloc(5000, 9));
    expect(writer.length).toBe(5004);
    expect(readAttributes(writer.done()).get(1)?.length).toBe(5000);
  });
});

test.each([3, 4, 5, 6, 7, 8, 9, 10, 11])(
  'a buffer of %d bytes grows at every kind of write',
  (capacity) => {
    const write = (writer: MessageWriter): string =>
      writer
        .attributeU8(1, 1)
        .attributeBe32(2, 2)
        .attributeString(3, 'three')
        .attributeU16(4, 4)
        .attributeBe16(5, 5)
        .attributeU32(6, 6)
        .done()
        .toString('hex');
    expect(write(new MessageWriter(capacity))).toBe(write(new MessageWriter(512)));
  },
);

test('messages round-trip through one buffer', () => {
  const writer = new MessageWriter();
  writer.message(
    { type: 16, flags: MessageFlag.create, body: Buffer.from([1, 2, 3]) },
    7,
    MessageFlag.ack,
  );
  writer.message({ type: 17, flags: 0, body: Buffer.alloc(0) }, 8, 0);
  const messages = [...splitMessages(writer.done())];
  expect(
    messages.map(({ type, flags, sequence, body }) => [type, flags, sequence, body.length]),
  ).toEqual([
    [16, 0x405, 7, 3],
    [17, 0x1, 8, 0],
  ]);
});

test('a cut message is not returned', () => {
  const writer = new MessageWriter();
  writer.message({ type: 16, flags: 0, body: Buffer.alloc(20) }, 1, 0);
  expect([...splitMessages(writer.done().subarray(0, 30))]).toEqual([]);
});

test('acknowledgements carry errno and the words of the kernel', () => {
  const body = encodeBody((w) => {
    w.u32(-17).bytes(Buffer.alloc(16)).attributeString(1, 'already there');
  });
  expect(readAcknowledgement(body)).toEqual({ errno: 17, text: 'already there' });
  expect(readAcknowledgement(Buffer.alloc(20)).errno).toBe(0);
});

test('text ends at the first NUL', () => {
  expect(readString(Buffer.from('lo\0junk'))).toBe('lo');
  expect(readString(undefined)).toBe('');
});

test.each(['10.0.0.1', '10.0.0.1/33', '10.0.0/8', '10.0.0.256/8', '10.0.0.1/', 'x/8'])(
  'refuses %s as a prefix',
  (text) => {
    expect(() => parseCidr(text)).toThrow(RangeError);
  },
);

test('refuses a short MAC address', () => {
  expect(() => encodeMac('02:42:0a:00:00')).toThrow('not a MAC address');
});
