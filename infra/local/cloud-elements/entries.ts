import * as z from 'zod/mini';
import { jsonResponse, refuseInput, type SimulatedResponse } from './responses.ts';
import { changeInstance } from './instances.ts';
import { showEntry, type Instance } from './shown.ts';

const entryChangeSchema = z.object({ propertyValue: z.string() });

/** Reads and changes an instance's configuration one entry at a time. */
export function createEntries() {
  /** By instance and key: an entry keeps its id. */
  const ids = new Map<string, number>();
  function idOf({ id }: Instance, key: string): number {
    const name = `${id} ${key}`;
    const known = ids.get(name) ?? 5_000_001 + ids.size;
    ids.set(name, known);
    return known;
  }

  function list(instance: Instance): SimulatedResponse {
    return jsonResponse(keysOf(instance).map((key) => showEntry(instance, key, idOf(instance, key))));
  }

  function read(instance: Instance, key: string): SimulatedResponse {
    return jsonResponse(showEntry(instance, key, idOf(instance, key)));
  }

  function change(instance: Instance, key: string, body: unknown): SimulatedResponse {
    const parsed = entryChangeSchema.safeParse(body);
    if (!parsed.success) return refuseInput(parsed.error);
    const configuration = { [key]: parsed.data.propertyValue };
    const response = changeInstance(instance, { configuration }, instance.configuration);
    return response.status === 200 ? read(instance, key) : response;
  }

  function keyOf(instance: Instance, entryId: string): string | undefined {
    return keysOf(instance).find((key) => String(idOf(instance, key)) === entryId);
  }

  return { list, read, change, keyOf };
}

/** Keys of every entry that the element defines, and of all others that were sent. */
function keysOf({ element, configuration }: Instance): string[] {
  return [...new Set([...element.entries.map(({ key }) => key), ...Object.keys(configuration)])];
}
