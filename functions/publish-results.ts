import { resultOf } from './model/result-events.ts';
import { openEventPublisher } from './runtime/ports.ts';
import { streamHandler } from './runtime/stream.ts';

/** Publishes the results of instances to the bus, from the table's stream, so that no write can lose its event. */
export const handler = streamHandler({
  open: openEventPublisher,
  parse: resultOf,
  handle: (results, publish) => publish(results),
});
