import pMap from 'p-map';
import { tenantIdSchema } from '../../../../functions/model/instance.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { count as tallied } from '../disturbances/faults.ts';
import { codeOf } from '../responses.ts';
import type { Target } from '../target.ts';
import { hostileInputs, type HostileInput } from './hostile-inputs.ts';
import type { Phase } from './phase.ts';

/** Log messages of Lambda and MiniStack for a function that does not end by returning. */
const anyCrash =
  /Runtime exited|Runtime\.|Unhandled|Task timed out|Invoke Error|"code":"internal"|RangeError|TypeError/;

/** A refusal after a call to Cloud Elements, which is recorded in the table. */
const recordedRefusal = 'refused-by-cloud-elements';

export type FuzzReport = Awaited<ReturnType<typeof fuzz>>;

/** Sends hostile requests, and checks every response, the log and the table. */
export async function fuzz({ service, oracle }: Target, { count, seed, runId, show }: Phase) {
  const startedAt = Date.now();
  // With short periods, a busy machine alone makes a function time out.
  const isCrash = (text: string): boolean =>
    anyCrash.test(
      oracle.mayDie ? text.replaceAll(/Task timed out|Runtime exited with error: SIGKILL/g, '') : text,
    );
  const linesBefore = (await service.logs()).length;
  const inputs = hostileInputs(count, { random: seededRandom(seed), runId, plant: oracle.plant });
  const tally = new Map<string, number>();
  const kinds = new Map<string, number>();
  const unanswered: string[] = [];
  const crashes: string[] = [];
  const mayHaveRow = new Set<string>();
  let done = 0;

  async function send({ kind, tenantId, method, path, headers, body }: HostileInput): Promise<void> {
    tallied(kinds, kind);
    const what = `${kind}: ${method} ${path.slice(0, 100)} ${String(body ?? '').slice(0, 100)}`;
    try {
      const response = await service.request({ method, path, headers, body });
      // Some hostile paths are valid, so an earlier request may have made an instance there.
      const isToken = method === 'GET' && /\/token([?#]|$)/.test(path);
      const responseKind = oracle.check(what, response, { isToken, isHead: method === 'HEAD' });
      tallied(tally, `${response.status} ${responseKind}`);
      if (isCrash(response.text)) crashes.push(`${what} → ${response.text.slice(0, 200)}`);
      if (response.status < 300 || response.status >= 500 || codeOf(response) === recordedRefusal) {
        mayHaveRow.add(tenantId);
      }
    } catch (error) {
      unanswered.push(`${what} → ${String(error).slice(0, 200)}`);
    }
    done += 1;
    if (done % 20 === 0) show(`${done}/${count} inputs`);
  }

  await pMap(inputs, send, { concurrency: 8 });
  const fuzzMs = Date.now() - startedAt;
  const ids = new Set(inputs.map(({ tenantId }) => tenantId));
  const rowIds = (await oracle.readRows()).map(({ tenantId }) => tenantId);
  const lines = (await service.logs()).slice(linesBefore);
  return {
    inputs: count,
    seed,
    kinds,
    tally,
    fuzzMs,
    found: {
      undocumented: oracle.takeUndocumented(),
      unanswered,
      crashes: [...crashes, ...lines.filter((line) => isCrash(line)).map((line) => line.slice(0, 300))],
      rowsOfRefused: rowIds.filter((id) => (ids.has(id) ? !mayHaveRow.has(id) : id.startsWith('fuzz-'))),
      hostileRows: rowIds.filter((id) => !tenantIdSchema.safeParse(id).success),
    },
  };
}
