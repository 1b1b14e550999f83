import { resultOf } from './model/result-events.ts';
import { openEventPublisher } from './runtime/dependencies.ts';
import { streamHandler } from './runtime/stream.ts';

/** Tells the bus what has become of instances. Fed by the table's stream, so that no write can lose its event. */
export const handler = streamHandler({
  open: openEventPublisher,
  parse: resultOf,
  handle: (results, publish) => publish(results),
});
