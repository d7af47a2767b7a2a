import { encodeBody, type Message, MessageFlag, MessageWriter } from '../message.ts';
import { type Command, encodeCommand, writeFamilyHeader } from './command.ts';

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const SUBSYSTEM_NFTABLES = 10;

/**
 * A whole nf_tables transaction as bytes for `NetlinkSocket.transact`: the kernel does all of it or nothing. The same
 * bytes can be sent into any number of namespaces. The kernel answers with the number of the transaction
 * (`generationIn`).
 */
export function encodeTransaction(commands: readonly Command[]): Buffer {
  const numbering = { nextSetId: 1 };
  const messages = commands.flatMap((command) => encodeCommand(command, numbering));
  const writer = new MessageWriter(4096);
  writer.message(boundary(BATCH_BEGIN), 0, MessageFlag.echo);
  messages.forEach((message, index) => {
    // Errors are always reported; one acknowledgement tells that the batch was looked at.
    const last = index === messages.length - 1;
    writer.message(message, index + 1, last ? MessageFlag.ack : 0);
  });
  writer.message(boundary(BATCH_END), messages.length + 1, 0);
  return writer.done();
}

function boundary(type: number): Message {
  const body = encodeBody((writer) => writeFamilyHeader(writer, 0, SUBSYSTEM_NFTABLES));
  return { type, flags: 0, body };
}
