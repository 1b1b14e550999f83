import * as z from 'zod/mini';
import { jsonResponse, refuse, refuseInput, type SimulatedResponse } from './responses.ts';

const maxPageSize = 200;

const pageSchema = z.object({
  pageSize: z.coerce.number().check(z.int(), z.gte(1)),
  /** Opaque to clients. It holds the last id of the page before, and a plus sign, which is lost if sent unencoded. */
  nextPage: z.string().check(z.regex(/^(after\+\d+)?$/)),
});

/**
 * Answers with the page of `items` (sorted by ascending id) that the query requests. Without items it is a 404 with the
 * message `none`, not an empty array.
 */
export function pageResponse<Item extends { readonly id: number }>(options: {
  items: readonly Item[];
  query: URLSearchParams;
  show: (item: Item) => object;
  none: string;
  /** Adds a page token to a full last page, which leads to a page that does not exist. */
  hasTokenOnFullPage?: boolean;
}): SimulatedResponse {
  const { items, query, show, none, hasTokenOnFullPage = false } = options;
  const parsed = pageSchema.safeParse({
    pageSize: query.get('pageSize') ?? maxPageSize,
    // Empty means the first page, too.
    nextPage: query.get('nextPage') ?? '',
  });
  if (!parsed.success) return refuseInput(parsed.error);
  const { pageSize, nextPage } = parsed.data;
  const afterId = Number(nextPage.slice('after+'.length));
  const start = items.findIndex(({ id }) => id > afterId);
  const size = Math.min(pageSize, maxPageSize);
  const page = start < 0 ? [] : items.slice(start, start + size);
  const last = page.at(-1);
  if (!last) return refuse(404, none);
  const hasToken = start + page.length < items.length || (hasTokenOnFullPage && page.length === size);
  return jsonResponse(
    page.map((item) => show(item)),
    {
      'elements-total-count': `${items.length}`,
      'elements-returned-count': `${page.length}`,
      ...(hasToken && { 'elements-next-page-token': `after+${last.id}` }),
    },
  );
}
