import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import * as z from 'zod/mini';

/** How a row ended. `unknown`: nothing final was seen in time; it may still become something. */
export const endSchema = z.object({
  outcome: z.enum(['active', 'failed', 'unknown']),
  /** False when the table answered before anything was sent. */
  asked: z.boolean(),
  code: z.optional(z.string()),
  why: z.optional(z.string()),
});
export type End = z.infer<typeof endSchema>;

const entrySchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('opened'),
    at: z.number(),
    target: z.string(),
    /** SHA-256. */
    manifest: z.string(),
    retryFailed: z.boolean(),
  }),
  /** The run came to its end. */
  z.object({ kind: z.literal('finished'), at: z.number() }),
  /** Written before anything goes out: with neither `sent` nor `not-sent` after it, nobody knows whether it did. */
  z.object({
    kind: z.literal('sending'),
    at: z.number(),
    /** `lastEventId`: of the event that had asked last, before this one. */
    rows: z.array(z.object({ id: z.string(), lastEventId: z.optional(z.string()) })),
  }),
  z.object({
    kind: z.literal('sent'),
    at: z.number(),
    rows: z.array(z.object({ id: z.string(), eventId: z.string() })),
  }),
  z.object({ kind: z.literal('not-sent'), at: z.number(), ids: z.array(z.string()) }),
  z.object({ kind: z.literal('ended'), at: z.number(), id: z.string(), end: endSchema }),
]);
export type JournalEntry = z.infer<typeof entrySchema>;

/** The journal cannot be used, and the message says what to do. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
}

export type Journal = Awaited<ReturnType<typeof openJournal>>;

/**
 * The memory of a run: JSON Lines, only ever appended to, beside a lock that keeps a second run out. A last line that
 * was cut off is dropped.
 * @param target what the run writes to; a journal of another target is refused
 * @throws JournalError when it is damaged, of another target, or in use
 */
export async function openJournal(
  file: string,
  { target, manifestText, retryFailed }: { target: string; manifestText: string; retryFailed: boolean },
) {
  const unlock = lock(`${file}.lock`);
  try {
    const handle = await open(file, 'a+');
    const text = await handle.readFile('utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) await handle.truncate(Buffer.byteLength(whole));
    const entries = entriesOf(file, whole);

    const opened = entries.filter((entry) => entry.kind === 'opened');
    if (opened.some((entry) => entry.target !== target)) {
      throw new JournalError(
        `${file} tells of a run against another table (another stage, or a local stack that has been started anew ` +
          'since). Choose another with --journal, or move this one away.',
      );
    }
    const manifest = createHash('sha256').update(manifestText).digest('hex');
    await write([{ kind: 'opened', at: Date.now(), target, manifest, retryFailed }]);

    return {
      /** What earlier runs wrote. */
      entries,
      /** An earlier run had another manifest. */
      manifestChanged: opened.length > 0 && opened.at(-1)?.manifest !== manifest,
      /** On disk when it resolves, so that a crash of the machine cannot take it back. */
      async record(entry: JournalEntry): Promise<void> {
        await write([entry]);
        await handle.datasync();
      },
      /** What could be found out again, and so need not be waited for. */
      note: (...noted: JournalEntry[]) => write(noted),
      async close(): Promise<void> {
        await handle.close();
        unlock();
      },
    };

    async function write(lines: readonly JournalEntry[]): Promise<void> {
      if (lines.length > 0)
        await handle.appendFile(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

function entriesOf(file: string, text: string): JournalEntry[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      const entry = entrySchema.safeParse(parseJson(line)).data;
      if (entry) return entry;
      throw new JournalError(
        `${file}:${index + 1}: this line is not a journal's. Without it a row might be asked for twice: restore the ` +
          'file, or move it away; what is active by then is not asked for again.',
      );
    });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The lock of a run that was killed is taken over: its process is no more. */
function lock(file: string): () => void {
  for (let tries = 0; tries < 2; tries++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      const unlock = () => rmSync(file, { force: true });
      process.once('exit', unlock);
      return unlock;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const pid = Number(readFileSync(file, 'utf8'));
      if (isRunning(pid)) {
        throw new JournalError(`Process ${pid} is at work with this journal. If it is not, remove ${file}`);
      }
      rmSync(file, { force: true });
    }
  }
  throw new JournalError(`${file} is taken by several runs at once. Try again.`);
}

function isRunning(pid: number): boolean {
  // 0 and below would mean process groups.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
