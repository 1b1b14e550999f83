import * as z from 'zod/mini';
import { answerJson, refuse, refuseInput, type Answer } from './answers.ts';

const maxPageSize = 200;

const pageSchema = z.object({
  pageSize: z.coerce.number().check(z.int(), z.gte(1)),
  /** Opaque to clients. It holds the last id of the page before, and a plus sign, which is lost if sent unencoded. */
  nextPage: z.string().check(z.regex(/^(after\+\d+)?$/)),
});

/**
 * The page of `items`, which are by ascending id, that the query asks for. None to show is a 404 that says `none`, not
 * an empty array.
 */
export function answerPage<Item extends { readonly id: number }>(options: {
  items: readonly Item[];
  query: URLSearchParams;
  show: (item: Item) => object;
  none: string;
}): Answer {
  const { items, query, show, none } = options;
  const parsed = pageSchema.safeParse({
    pageSize: query.get('pageSize') ?? maxPageSize,
    // Empty means the first page, too.
    nextPage: query.get('nextPage') ?? '',
  });
  if (!parsed.success) return refuseInput(parsed.error);
  const { pageSize, nextPage } = parsed.data;
  const afterId = Number(nextPage.slice('after+'.length));
  const left = items.filter(({ id }) => id > afterId);
  const page = left.slice(0, Math.min(pageSize, maxPageSize));
  const last = page.at(-1);
  if (!last) return refuse(404, none);
  return answerJson(
    page.map((item) => show(item)),
    {
      'elements-total-count': `${items.length}`,
      'elements-returned-count': `${page.length}`,
      ...(page.length < left.length && { 'elements-next-page-token': `after+${last.id}` }),
    },
  );
}
