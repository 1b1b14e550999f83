import { IncomingMessage } from 'node:http';
import type { RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import * as z from 'zod/mini';
import type { Uses } from '../../functions/triggers.ts';
import { sendError, signerOf } from './aws-protocol.ts';

const queryTarget = 'DynamoDB_20120810.Query';

/**
 * What IAM does with the functions' roles, as far as actions go: a request signed with a function's name as its access
 * key may do what the function's row asks for, and one with any other key everything. So a permission that is missing
 * in the table is missing here too.
 */
export function guardPermissions(usesOf: (accessKeyId: string) => Uses | undefined) {
  return (listener: RequestListener): RequestListener =>
    (request, response) => {
      const accessKeyId = signerOf(request.headers);
      const uses = accessKeyId === undefined ? undefined : usesOf(accessKeyId);
      const target = String(request.headers['x-amz-target']);
      const refuse = (on = '') => {
        request.resume();
        sendError(response, {
          status: 400,
          type: 'AccessDeniedException',
          message: `${accessKeyId} may not perform ${target}${on}: its row in triggers.ts does not say so.`,
        });
      };
      if (!uses) {
        listener(request, response);
      } else if (target === queryTarget) {
        void readQuery(request)
          .then(({ on, again }) =>
            uses[on]?.includes('Query') ? listener(again, response) : refuse(` on the ${on}`),
          )
          .catch(() => response.destroy());
      } else if (allowedTargets(uses).includes(target)) {
        listener(request, response);
      } else {
        refuse();
      }
    };
}

function allowedTargets({ table = [], bus = [], secrets, tokenKey = [] }: Uses): string[] {
  return [
    ...table.map((action) => `DynamoDB_20120810.${action}`),
    ...bus.map((action) => `AWSEvents.${action}`),
    ...(secrets ? ['secretsmanager.GetSecretValue'] : []),
    ...tokenKey.map((action) => `TrentService.${action}`),
  ];
}

const querySchema = z.object({ IndexName: z.optional(z.string()) });

/** Only the body of a query tells what it is on. `again` is the request once more, unread. */
async function readQuery(
  request: IncomingMessage,
): Promise<{ on: 'table' | 'index'; again: IncomingMessage }> {
  const body = await text(request);
  const again = new IncomingMessage(request.socket);
  const { method = '', url = '', headers } = request;
  // Not complete, it would take the connection with it at its end.
  Object.assign(again, { method, url, headers, complete: true });
  again.push(body);
  again.push(null);
  const { IndexName } = querySchema.parse(JSON.parse(body));
  return { on: IndexName === undefined ? 'table' : 'index', again };
}
