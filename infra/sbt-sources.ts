import * as z from 'zod/mini';
import type { EventPattern } from '../functions/triggers.ts';

const expected =
  'expected controlPlane=…, applicationPlane=… or both, joined by a comma: the event sources that the SaaS Builder ' +
  'Toolkit was given in place of its defaults, for example ' +
  'controlPlane=com.example.control,applicationPlane=com.example.application';

const sourceExpected = 'expected an event source, such as com.example.control';

/** EventBridge keeps the prefix `aws.` to itself. */
const sourceSchema = z.string(sourceExpected).check(
  z.regex(/^[A-Za-z0-9._/-]{1,256}$/, sourceExpected),
  z.refine((source) => !source.toLowerCase().startsWith('aws.'), sourceExpected),
);

export const sourcesSchema = z.strictObject(
  {
    /** In place of `controlPlaneEventSource` and `sbt.control.plane`: where requests come from. */
    controlPlane: z.optional(sourceSchema),
    /** In place of `applicationPlaneEventSource` and `sbt.application.plane`: where its rules expect results from. */
    applicationPlane: z.optional(sourceSchema),
  },
  'expected { controlPlane, applicationPlane } or one of the two',
);

/** Event sources of the toolkit that its user has set; one that is absent is the default of the request's dialect. */
export type SbtSources = z.infer<typeof sourcesSchema>;

/** The text of a context key or an environment variable: `controlPlane=…,applicationPlane=…`. */
export const sbtSourcesSchema = z.pipe(
  z.string(expected).check(z.refine((text) => sourcesIn(text) !== undefined, expected)),
  z.transform((text): SbtSources => sourcesIn(text) ?? {}),
);

function sourcesIn(text: string): SbtSources | undefined {
  const pairs = text.split(',').map((part): [string, string] => {
    const [name = '', ...value] = part.split('=');
    return [name.trim(), value.join('=').trim()];
  });
  const isRepeated = new Set(pairs.map(([name]) => name)).size < pairs.length;
  return isRepeated ? undefined : sourcesSchema.safeParse(Object.fromEntries(pairs)).data;
}

/** The pattern as the toolkit's sources are set; events of every other sender come from any source. */
export function withSbtSource(pattern: EventPattern, { controlPlane }: SbtSources): EventPattern {
  return pattern.source && controlPlane !== undefined ? { ...pattern, source: [controlPlane] } : pattern;
}
