import { tenantIdSchema } from '../../../functions/model/instance.ts';
import { readRows } from '../chaos/audit.ts';
import type { DeployedStack } from '../../service/deployed/deployed-stack.ts';
import type { ReceivedResponse, Service } from '../../support/running-service.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { codeOf, responseKindOf } from './responses.ts';
import { hostileInputs, type HostileInput } from './hostile-inputs.ts';
import { inParallel } from './in-parallel.ts';

const atOnce = 8;

/** Log messages of Lambda and MiniStack for a function that does not end by returning. */
const crash =
  /Runtime exited|Runtime\.|Unhandled|Task timed out|Invoke Error|"code":"internal"|RangeError|TypeError/;

/** A refusal after a call to Cloud Elements, which is recorded in the table. */
const recordedRefusal = 'refused-by-cloud-elements';

export type FuzzReport = Awaited<ReturnType<typeof fuzz>>;

/** Sends hostile requests, and checks every response, the log and the table. */
export async function fuzz(
  { stack, service }: { stack: DeployedStack; service: Service },
  {
    inputs: count,
    seed,
    runId,
    plant,
    checkResponse,
    show,
  }: {
    inputs: number;
    seed: number;
    runId: string;
    plant: () => string;
    checkResponse: (response: ReceivedResponse, isToken: boolean) => void;
    show: (progress: string) => void;
  },
) {
  const startedAt = Date.now();
  const linesBefore = (await stack.logs()).length;
  const inputs = hostileInputs(count, { random: seededRandom(seed), runId, plant });
  const tally = new Map<string, number>();
  const kinds = new Map<string, number>();
  const unexpected: string[] = [];
  const unanswered: string[] = [];
  const crashes: string[] = [];
  const mayHaveRow = new Set<string>();
  let done = 0;

  async function send({ kind, tenantId, method, path, headers, body }: HostileInput): Promise<void> {
    add(kinds, kind);
    const what = `${kind}: ${method} ${path.slice(0, 100)} ${String(body ?? '').slice(0, 100)}`;
    try {
      const response = await service.request({ method, path, headers, body });
      const responseKind = responseKindOf(response, { isHead: method === 'HEAD' });
      if (typeof responseKind === 'object') unexpected.push(`${what} → ${responseKind.wrong}`);
      if (crash.test(response.text)) crashes.push(`${what} → ${response.text.slice(0, 200)}`);
      add(tally, `${response.status} ${typeof responseKind === 'object' ? 'undocumented' : responseKind}`);
      // Some hostile paths are valid, so an earlier request may have made an instance there.
      checkResponse(response, method === 'GET' && /\/token([?#]|$)/.test(path));
      if (response.status < 300 || response.status >= 500 || codeOf(response) === recordedRefusal) {
        mayHaveRow.add(tenantId);
      }
    } catch (error) {
      unanswered.push(`${what} → ${String(error).slice(0, 200)}`);
    }
    done += 1;
    if (done % 20 === 0) show(`${done}/${count} inputs`);
  }

  await inParallel(inputs, atOnce, send);
  const fuzzMs = Date.now() - startedAt;
  const ids = new Set(inputs.map(({ tenantId }) => tenantId));
  const rows = await readRows(stack.dynamoDb, stack.tableName);
  const lines = (await stack.logs()).slice(linesBefore);
  return {
    inputs: count,
    seed,
    kinds,
    tally,
    fuzzMs,
    found: {
      unexpected,
      unanswered,
      crashes: [...crashes, ...lines.filter((line) => crash.test(line)).map((line) => line.slice(0, 300))],
      rowsOfRefused: rows
        .map(({ tenantId }) => tenantId)
        .filter((id) => (ids.has(id) ? !mayHaveRow.has(id) : id.startsWith('fuzz-'))),
      hostileRows: rows.map(({ tenantId }) => tenantId).filter((id) => !tenantIdSchema.safeParse(id).success),
    },
  };
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
