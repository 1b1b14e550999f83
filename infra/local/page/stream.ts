import type { Writable } from 'node:stream';

/** Changes within this time are sent together. */
const gatherMs = 40;

type Reader = { response: Writable; isFull: boolean; isBehind: boolean };

/**
 * Sends the latest state to each reader after changes, as server-sent events. Each message is a whole state, so a reader
 * that is slow skips states: no more than one waits for it in memory, and none is made for it.
 */
export function createStream(latest: () => string) {
  const readers = new Set<Reader>();
  let gathering: NodeJS.Timeout | undefined;

  function gather(): void {
    if (gathering || ![...readers].some(isDue)) return;
    gathering = setTimeout(() => {
      gathering = undefined;
      const due = [...readers].filter(isDue);
      if (due.length === 0) return;
      const message = messageOf(latest());
      for (const reader of due) write(reader, message);
    }, gatherMs);
  }

  return {
    /** To be called after each change. */
    changed(): void {
      for (const reader of readers) reader.isBehind = true;
      gather();
    },

    /** Sends the state now and after each change, until the response is closed. */
    add(response: Writable): void {
      const reader = { response, isFull: false, isBehind: false };
      readers.add(reader);
      response.once('close', () => readers.delete(reader));
      response.on('drain', () => {
        reader.isFull = false;
        gather();
      });
      write(reader, messageOf(latest()));
    },

    stop(): void {
      clearTimeout(gathering);
      readers.clear();
    },
  };
}

const isDue = ({ isFull, isBehind }: Reader): boolean => isBehind && !isFull;

function write(reader: Reader, message: string): void {
  reader.isBehind = false;
  reader.isFull = !reader.response.write(message);
}

const messageOf = (state: string): string => `data: ${state}\n\n`;
