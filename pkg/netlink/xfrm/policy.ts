import { familyOf } from '../address.ts';
import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';
import {
  ADDRESS_LENGTH,
  ID_LENGTH,
  readAddress,
  readSelector,
  SELECTOR_LENGTH,
  type TrafficSelector,
  writeAddress,
  writeId,
  writeLifetimes,
  writeSelector,
} from './selector.ts';

const XFRM_MSG_DELPOLICY = 0x14;
const XFRM_MSG_GETPOLICY = 0x15;
const XFRM_MSG_UPDPOLICY = 0x19;
const XFRMA_TMPL = 5;
const DIRECTION = { in: 0, out: 1 } as const;
const ACTION = { allow: 0, block: 1 } as const;
const ALGORITHMS_ANY = 0xffffffff;
/** Offsets in `struct xfrm_userpolicy_info`. */
const PRIORITY_AT = SELECTOR_LENGTH + 64 + 32;
const DIRECTION_AT = PRIORITY_AT + 8;

/** The ESP association that packets must go through. */
export interface PolicyTemplate {
  readonly source: string;
  readonly destination: string;
  /** 0: any association with this `request`. */
  readonly spi: number;
  readonly request: number;
}

export interface SecurityPolicy {
  readonly direction: keyof typeof DIRECTION;
  readonly selector: TrafficSelector;
  /** Lower is asked earlier. */
  readonly priority: number;
  readonly action: keyof typeof ACTION;
  readonly template?: PolicyTemplate | undefined;
}

/** Takes the place of the one with the same selector and direction, if there is one. */
export function putPolicy(policy: SecurityPolicy): Message {
  const { direction, selector, priority, action, template } = policy;
  const body = encodeBody((writer) => {
    writeSelector(writer, selector);
    writeLifetimes(writer);
    // index: the kernel gives one.
    writer.u32(priority).u32(0).u8(DIRECTION[direction]).u8(ACTION[action]).u8(0).u8(0);
    writer.bytes(Buffer.alloc(4));
    if (template !== undefined) writer.attribute(XFRMA_TMPL, encodeTemplate(template));
  });
  return { type: XFRM_MSG_UPDPOLICY, flags: MessageFlag.create, body };
}

export function deletePolicy({
  direction,
  selector,
}: Pick<SecurityPolicy, 'direction' | 'selector'>): Message {
  const body = encodeBody((writer) => {
    writeSelector(writer, selector);
    writer.u32(0).u8(DIRECTION[direction]).u8(0).u8(0).u8(0);
  });
  return { type: XFRM_MSG_DELPOLICY, flags: 0, body };
}

export function dumpPolicies(): Message {
  return { type: XFRM_MSG_GETPOLICY, flags: 0, body: Buffer.alloc(0) };
}

/** Body of XFRM_MSG_NEWPOLICY. Undefined for directions that hosts have no use for (forward, per socket). */
export function parsePolicy(body: Buffer): SecurityPolicy | undefined {
  const direction = body.readUInt8(DIRECTION_AT);
  if (direction !== DIRECTION.in && direction !== DIRECTION.out) return undefined;
  const template = readAttributes(body, DIRECTION_AT + 8).get(XFRMA_TMPL);
  return {
    direction: direction === DIRECTION.in ? 'in' : 'out',
    selector: readSelector(body),
    priority: body.readUInt32LE(PRIORITY_AT),
    action: body.readUInt8(DIRECTION_AT + 1) === ACTION.block ? 'block' : 'allow',
    template: template && parseTemplate(template),
  };
}

/** `struct xfrm_user_tmpl` */
function encodeTemplate({ source, destination, spi, request }: PolicyTemplate): Buffer {
  return encodeBody((writer) => {
    writeId(writer, destination, spi);
    writer.u16(familyOf(destination)).u16(0);
    writeAddress(writer, source);
    writer.u32(request).u8(0).u8(0).u8(0).u8(0);
    writer.u32(ALGORITHMS_ANY).u32(ALGORITHMS_ANY).u32(ALGORITHMS_ANY);
  });
}

function parseTemplate(body: Buffer): PolicyTemplate {
  const sourceAt = ID_LENGTH + 4;
  const family = body.readUInt16LE(ID_LENGTH);
  return {
    destination: readAddress(body, 0, family),
    spi: body.readUInt32BE(ADDRESS_LENGTH),
    source: readAddress(body, sourceAt, family),
    request: body.readUInt32LE(sourceAt + ADDRESS_LENGTH),
  };
}
