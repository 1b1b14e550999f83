import { IncomingMessage } from 'node:http';
import type { RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { tableShape } from '../../../functions/model/table.ts';
import type { Uses } from '../../../functions/triggers.ts';
import type { Resources } from '../../environment.ts';
import { sendError, signerOf } from './aws-protocol.ts';

/** The resources that functions may touch, by the names in their environment. */
export type Touchable = Omit<Resources, 'cloudElementsBaseUrl' | 'stage'>;

/**
 * Enforces the functions' permissions as IAM does. The access key that signs a request is the function's name; the
 * request may perform the actions in the function's row of the trigger table, on the resources in that row. Any other
 * key may do everything but decrypt tokens, as with the deployed key's policy. So a permission that the table lacks is
 * missing here.
 */
export function createPermissions({
  usesOf,
  resources,
}: {
  usesOf: (accessKeyId: string) => Uses | undefined;
  resources: Touchable;
}) {
  const calls = new Map<string, Set<string>>();

  async function decide(
    { accessKeyId, uses }: { accessKeyId: string; uses: Uses },
    request: IncomingMessage,
    response: ServerResponse,
    listener: RequestListener,
  ): Promise<void> {
    const body = await text(request);
    const call = callIn(String(request.headers['x-amz-target']), body, resources);
    calls.set(accessKeyId, (calls.get(accessKeyId) ?? new Set()).add(call));
    if (callsAllowedBy(uses).includes(call)) {
      listener(unread(request, body), response);
      return;
    }
    refuse(response, `${accessKeyId} may not perform ${call}: its row in triggers.ts does not say so.`);
  }

  function guard(listener: RequestListener): RequestListener {
    return (request, response) => {
      const accessKeyId = signerOf(request.headers);
      const uses = accessKeyId === undefined ? undefined : usesOf(accessKeyId);
      if (accessKeyId === undefined || !uses) {
        const [, denied] = deniedByKeyPolicy.exec(String(request.headers['x-amz-target'])) ?? [];
        if (denied === undefined) listener(request, response);
        else
          refuse(
            response,
            `${accessKeyId ?? 'An unsigned request'} may not perform kms:${denied}: the key's policy denies it.`,
          );
        return;
      }
      // If the connection breaks while the body arrives, no client is left to answer.
      decide({ accessKeyId, uses }, request, response, listener).catch(() => response.destroy());
    };
  }

  return {
    guard,
    /**
     * Calls of each function so far, by its name: IAM's action and the resource, for example `kms:Encrypt token key`.
     */
    calls,
  };
}

/** Denied, as in `infra/stack.ts`, to every principal but the functions that read tokens. */
const deniedByKeyPolicy = /^TrentService\.(Decrypt|ReEncrypt|CreateGrant)$/;

function refuse(response: ServerResponse, message: string): void {
  sendError(response, { status: 400, type: 'AccessDeniedException', message });
}

function callsAllowedBy({
  table = [],
  index = [],
  instancesIndex = [],
  bus = [],
  secrets = [],
  tokenKey = [],
}: Uses): string[] {
  return [
    ...table.map((action) => `dynamodb:${action} table`),
    ...index.map((action) => `dynamodb:${action} index`),
    ...instancesIndex.map((action) => `dynamodb:${action} index of instances`),
    ...bus.map((action) => `events:${action} bus`),
    ...secrets.map((secret) => `secretsmanager:GetSecretValue ${secretNames[secret]}`),
    ...tokenKey.map((action) => `kms:${action} token key`),
  ];
}

const secretNames = { platform: 'platform secret', tenants: 'tenant secrets' };

const bodySchema = z.object({
  TableName: z.optional(z.string()),
  IndexName: z.optional(z.string()),
  Entries: z.optional(z.array(z.object({ EventBusName: z.optional(z.string()) }))),
  SecretId: z.optional(z.string()),
  KeyId: z.optional(z.string()),
  EncryptionContext: z.optional(z.record(z.string(), z.string())),
});
type Body = z.infer<typeof bodySchema>;

type Service = { prefix: string; resourceIn: (body: Body, resources: Touchable) => string };

const another = 'another resource';

/** By the part of `x-amz-target` before the action. */
const services: Record<string, Service> = {
  DynamoDB_20120810: {
    prefix: 'dynamodb',
    resourceIn({ TableName, IndexName }, { tableName }) {
      if (TableName !== tableName) return another;
      if (IndexName === undefined) return 'table';
      return IndexName === tableShape.instances.name ? 'index of instances' : 'index';
    },
  },
  AWSEvents: {
    prefix: 'events',
    resourceIn: ({ Entries = [] }, { busName }) =>
      Entries.every(({ EventBusName }) => EventBusName === busName) ? 'bus' : another,
  },
  secretsmanager: {
    prefix: 'secretsmanager',
    resourceIn({ SecretId }, { platformSecretId, tenantSecretsPrefix }) {
      if (SecretId === platformSecretId) return secretNames.platform;
      return SecretId?.startsWith(`${tenantSecretsPrefix}/tenants/`) ? secretNames.tenants : another;
    },
  },
  TrentService: {
    prefix: 'kms',
    resourceIn({ KeyId, EncryptionContext = {} }, { tokenKeyId }) {
      if (KeyId !== tokenKeyId) return another;
      const isBound = isDeepStrictEqual(Object.keys(EncryptionContext).toSorted(), [
        'elementKey',
        'tenantId',
      ]);
      return isBound ? 'token key' : 'token key without exactly tenantId and elementKey as context';
    },
  },
};

function callIn(target: string, body: string, resources: Touchable): string {
  const [name = '', action] = target.split('.');
  const service = Object.hasOwn(services, name) ? services[name] : undefined;
  if (!service) return target;
  return `${service.prefix}:${action} ${service.resourceIn(bodySchema.parse(JSON.parse(body)), resources)}`;
}

/** A copy of the request with its body unread. */
function unread({ socket, method, url, headers }: IncomingMessage, body: string): IncomingMessage {
  const again = new IncomingMessage(socket);
  // An incomplete request would close the connection when it ends.
  Object.assign(again, { method, url, headers, complete: true });
  again.push(body);
  again.push(null);
  return again;
}
