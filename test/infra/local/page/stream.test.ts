import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createStream } from '../../../../infra/local/page/stream.ts';

const state = 'x'.repeat(1_000);

/** A reader that reads only when it is told to, with room for one message and a part of a second. */
function createReader() {
  const received: string[] = [];
  let read: (() => void) | undefined;
  const response = new Writable({
    highWaterMark: 1_500,
    write(chunk: Buffer, _encoding, done) {
      received.push(chunk.toString());
      read = done;
    },
  });
  return { response, received, read: () => read?.() };
}

/** Counts the states that are made. */
function createStates() {
  let made = 0;
  const stream = createStream(() => `${++made} ${state}`);
  return { stream, made: () => made };
}

async function change(stream: ReturnType<typeof createStream>, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    stream.changed();
    await sleep(45);
  }
}

test('a reader that does not read costs two messages, however many changes there are', async () => {
  const { stream, made } = createStates();
  const { response, received } = createReader();
  stream.add(response);
  await change(stream, 20);
  expect(response.writableLength).toBeLessThan(2 * (state.length + 50));
  expect(received).toHaveLength(1);
  expect(made()).toBe(2);
  stream.stop();
});

test('a reader that reads again gets the latest state, and another reader each one meanwhile', async () => {
  const { stream, made } = createStates();
  const slow = createReader();
  const fast: string[] = [];
  stream.add(slow.response);
  stream.add(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        fast.push(chunk.toString());
        done();
      },
    }),
  );
  await change(stream, 10);
  expect(fast).toHaveLength(11);
  const latest = made();
  slow.read();
  slow.read();
  await expect.poll(() => slow.received.length).toBe(3);
  expect(slow.received.at(-1)).toBe(`data: ${latest + 1} ${state}\n\n`);
  stream.stop();
});

test('changes at once are one message, and without a reader no state is made', async () => {
  const { stream, made } = createStates();
  await change(stream, 2);
  expect(made()).toBe(0);
  const { response } = createReader();
  stream.add(response);
  for (let time = 0; time < 100; time += 1) stream.changed();
  await sleep(100);
  expect(made()).toBe(2);
  response.destroy();
  await change(stream, 2);
  expect(made()).toBe(2);
  stream.stop();
});
