import { tenantIn } from '../../../functions/model/markers.ts';
import { onPort, startLocalStack, type LocalStack, type LocalStackOptions } from '../stack.ts';
import { createActivity } from './activity.ts';
import { startPage } from './server.ts';

/** Starts the local stack with a page that shows its state and activity. */
export async function startLocalStackWithPage(options: Omit<LocalStackOptions, 'watcher'> = {}) {
  const activity = createActivity();
  let started: LocalStack | undefined;
  const stack = await startLocalStack({
    ...options,
    watcher: activity.watcher((instanceId) => {
      const instance = started?.simulator.instances.find(({ id }) => id === instanceId);
      return instance && tenantIn({ elementKey: instance.element.key, tags: instance.tags });
    }),
    onLog: (functionName, line) => {
      activity.addLogLine(line);
      options.onLog?.(functionName, line);
    },
  });
  started = stack;
  try {
    const page = await onPort(options.ports ?? {}, 'page', (port) => startPage({ stack, activity, port }));
    const stop = async (): Promise<void> => {
      await page.stop();
      await stack.stop();
    };
    return { ...stack, pageUrl: page.url, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stack.stop();
    throw error;
  }
}
