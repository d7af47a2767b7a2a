import type { Mutant } from '../plant.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a request that was applied is applied again',
    file: 'pkg/store/state-machine.ts',
    find: '    if (known !== undefined) {\n      this.advance(index);',
    replace: '    if (known !== undefined && index < 0) {\n      this.advance(index);',
  },
  {
    name: 'outcomes of requests are not in snapshots',
    file: 'pkg/store/state-machine.ts',
    find: '  yield* encodeList(\'{"requests":[\', requests);\n',
    replace: '',
  },
  {
    name: 'a repeated request gets a new id',
    file: 'pkg/store/writes.ts',
    find: '({ id, term }: Command, data: Uint8Array, options: ProposeOptions): Promise<Outcome> {\n    return this.#options.proposals.submit({\n      id,\n      term,\n      send: (onDropped) => this.#options.send(data, onDropped),\n',
    replace:
      '(request: Command, data: Uint8Array, options: ProposeOptions): Promise<Outcome> {\n    const { id, term } = request;\n    let sent = 0;\n    return this.#options.proposals.submit({\n      id,\n      term,\n      send: (onDropped) => {\n        const again = { ...request, id: this.newRequest().id };\n        this.#options.send(sent++ === 0 ? data : encodeCommand(again), onDropped);\n      },\n',
  },
  {
    name: 'a write that was sent is reported as not done',
    file: 'pkg/store/proposals.ts',
    find: '    if (!pending.sent) {',
    replace: '    if (pending.startedAt >= 0) {',
  },
  {
    name: 'versions are checked by the proposer only',
    file: 'pkg/store/state-machine.ts',
    find: '    return this.#tables.check(command.changes);',
    replace: '    return undefined;',
  },
  {
    name: 'the clock of an entry may go back',
    file: 'pkg/store/state-machine.ts',
    find: '    if (now > this.#now) this.#now = now;',
    replace: '    this.#now = now;',
  },
  {
    name: 'a snapshot holds later changes than it says',
    file: 'pkg/store/state-machine.ts',
    find: 'objects: [...this.#tables.list(kind)] }));',
    replace: 'objects: this.#tables.list(kind) as never }));',
  },
  {
    name: 'answers leave before fdatasync',
    file: 'pkg/store/wal.ts',
    find: '      await file.pwrite(this.#end, frame.bytes);\n      await file.fdatasync();\n',
    replace: '      await file.pwrite(this.#end, frame.bytes);\n',
  },
  {
    name: 'a new vote is not written',
    file: 'pkg/store/log-writer.ts',
    find: 'if (records.length > 0 || voted || own) {',
    replace: 'if (records.length > 0 || own) {',
  },
  {
    name: 'a snapshot is relied on before its file is there',
    file: 'pkg/store/snapshotter.ts',
    find: '    await snapshots.write(point, this.#measured(parts));\n    await replica().writer.flush({ index, term: point.term, installed: false });',
    replace:
      '    const writing = snapshots.write(point, this.#measured(parts));\n    await replica().writer.flush({ index, term: point.term, installed: false });\n    await wal.release(index);\n    await writing;',
  },
  {
    name: 'entries that were replaced are still behind the new ones after a restart',
    file: 'pkg/store/wal-replay.ts',
    find: '    log.length = Math.max(0, at);\n',
    replace:
      '    if (at >= 0 && at < log.length) {\n      log[at] = entry;\n      continue;\n    }\n',
    foundBy: 'pkg/store/wal.test.ts',
  },
  {
    name: 'the name of a new segment is not made durable',
    file: 'pkg/store/wal.ts',
    find: '    await disk.fsyncDir(folder);\n    await this.#file?.close();\n',
    replace: '    await this.#file?.close();\n',
  },
  {
    name: 'a read asks nobody',
    file: 'pkg/store/reads.ts',
    find: '      this.#queue.push(waiter);\n      this.#begin();',
    replace: '      waiter.settle();',
  },
  {
    name: 'a read joins the round that is under way',
    file: 'pkg/store/reads.ts',
    find: '      this.#queue.push(waiter);\n      this.#begin();',
    replace:
      '      if (this.#round) (this.#round.waiters as Waiter[]).push(waiter);\n      else this.#queue.push(waiter);\n      this.#begin();',
  },
  {
    name: 'a read does not wait for what it must see',
    file: 'pkg/store/reads.ts',
    find: '      waiter.index = index;\n',
    replace: '      waiter.index = 0;\n',
  },
  {
    name: 'a leader begins before its view is complete',
    file: 'pkg/store/leadership.ts',
    find: 'if (this.#elected && !this.#leading && term === this.#term) this.#set(true);',
    replace: 'if (this.#elected && !this.#leading) this.#set(true);',
  },
  {
    name: 'who resumes misses a batch',
    file: 'pkg/store/history.ts',
    find: '    return this.#cut + low;',
    replace: '    return this.#cut + Math.min(low + 1, this.#batches.length);',
  },
  {
    name: 'who resumes at a member that is behind gets batches again',
    file: 'pkg/store/history.ts',
    find: '      if (batch.index <= seen) continue;\n',
    replace: '',
  },
  {
    name: 'a slow follower is not told that it missed something',
    file: 'pkg/store/history.ts',
    find: 'at = this.#place(seen);',
    replace: 'at = this.#cut + this.#forgotten;',
  },
  {
    name: 'a new key replaces those that the log still needs',
    file: 'pkg/store/log-keys.ts',
    find: '    this.#keys.push(...fresh);',
    replace: '    this.#keys.splice(0, this.#keys.length, ...fresh);',
  },
  {
    name: 'a new address of a member is never written',
    file: 'pkg/store/membership.ts',
    find: '    if (moved === undefined) return false;',
    replace: '    if (moved === undefined || moved.raftId > 0) return false;',
  },
  {
    name: 'a new address stops a learner from becoming a voter',
    file: 'pkg/store/state-machine.ts',
    find: 'this.#members.set(nodeId, { ...record, address: member.address });',
    replace: 'this.#members.set(nodeId, { ...member, promote: false } as MemberRecord);',
  },
];

/** Few seeds find these. */
export const EASY: readonly string[] = [
  'a request that was applied is applied again',
  'versions are checked by the proposer only',
  'answers leave before fdatasync',
  'a read asks nobody',
  'who resumes misses a batch',
];
