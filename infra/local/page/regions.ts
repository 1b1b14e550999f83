import type { Entry, Row, Tone } from './activity.ts';
import type { Result } from './actions.ts';
import type { Compared, Comparison, Live } from './comparison.ts';
import { html, type Html } from './html.ts';
import { lateListMs, switches, type SwitchName } from './switches.ts';

/** The regions of the page that change. */

export type State = {
  readonly comparison: Comparison;
  /** In order of time. */
  readonly entries: readonly Entry[];
  readonly armed: SwitchName | undefined;
  readonly listLagMs: number;
  readonly result: Result | undefined;
};

const shownPairs = 100;
const shownEntries = 80;

export const regionNames = ['summary', 'tenants', 'more', 'activity', 'switches', 'result'] as const;
export type Regions = Readonly<Record<(typeof regionNames)[number], Html>>;

export function regionsOf(state: State): Regions {
  const { pairs, others } = state.comparison;
  const hidden = pairs.length - shownPairs;
  const notes = [
    ...(hidden > 0 ? [`${hidden} more are not shown.`] : []),
    ...(others > 0
      ? [`Cloud Elements has ${count(others, 'instance')} that the service did not create.`]
      : []),
  ];
  return {
    summary: summary(state.comparison),
    tenants:
      pairs.length > 0
        ? html`${pairs.slice(0, shownPairs).map((pair) => pairRow(pair, state.listLagMs))}`
        : html`<tr class="empty" data-key="none">
            <td colspan="5">No tenant yet. Provision one.</td>
          </tr>`,
    more: html`${notes.join(' ')}`,
    activity:
      state.entries.length > 0
        ? html`${state.entries.slice(-shownEntries).toReversed().map(entryRow)}`
        : html`<tr class="empty" data-key="none">
            <td colspan="6">Nothing has happened yet.</td>
          </tr>`,
    switches: switchForm(state),
    result: state.result
      ? html`<p class="${state.result.tone}">
          <code>${state.result.request}</code> <span>${state.result.outcome}</span>
        </p>`
      : html``,
  };
}

function tile(number: number, label: string, tone: Tone): Html {
  return html`<div class="tile ${tone}">
    <dt>${label}</dt>
    <dd>${number}</dd>
  </div>`;
}

function summary({ counts }: Comparison): Html {
  return html`${[
    tile(counts.tenants, 'Tenants', 'plain'),
    tile(counts.instances, 'Live instances', 'plain'),
    tile(counts.duplicated, 'Duplicated', counts.duplicated > 0 ? 'bad' : 'good'),
    tile(counts.lost, 'Lost or orphaned', counts.lost > 0 ? 'bad' : 'good'),
    tile(counts.doubt, 'In doubt', counts.doubt > 0 ? 'doubt' : 'good'),
  ]}`;
}

function pairRow(
  { tenantId, elementKey, stored, instances, finding, tone, label, why }: Compared,
  listLagMs: number,
): Html {
  // Whether lists show it matters only while the service looks for it.
  const hiddenMs = finding === 'one' ? 0 : listLagMs;
  const key = `${tenantId}/${elementKey}`;
  return html`<tr data-key="${key}" class="${tone}">
    <th scope="row" data-label="Tenant">
      <b>${breakable(tenantId)}</b> <span class="dim">${elementKey}</span>
    </th>
    <td data-label="In the table">${rowCell(stored?.row)}</td>
    <td data-label="At Cloud Elements">
      ${instances.length > 0 ? instances.map((live) => liveCell(live, hiddenMs)) : html`<span class="dim">none</span>`}
    </td>
    <td data-label="Finding">
      <strong class="finding">${label}</strong>
      <span class="why">${why}</span>${tone !== 'doubt' && errorOf(stored?.row)}
    </td>
    <td class="acts">
      ${
        stored?.row && !isGone(stored.row)
          ? [
              pairAction({ action: '/repeat', label: 'Repeat', tenantId, elementKey }),
              pairAction({ action: '/remove', label: 'Remove', tenantId, elementKey }),
            ]
          : ''
      }
    </td>
  </tr>`;
}

const isGone = ({ status }: Row): boolean => status === 'removed' || status === 'deleting';

function rowCell(row: Row | undefined): Html {
  if (!row) return html`<span class="dim">no row</span>`;
  const { status, instanceId, name, tags, leaseExpiresAt } = row;
  return html`<span class="status ${status}">${status}</span
    >${instanceId !== undefined && html` <code>${instanceId}</code>`}
    <span class="detail">${name}${tags.map((tag) => html` <span class="tag">${tag}</span>`)}</span>
    ${status === 'provisioning' && countdown('claimed', leaseExpiresAt)}`;
}

const errorOf = (row: Row | undefined): Html | undefined =>
  row?.lastError &&
  html` <span class="detail"><code>${breakable(row.lastError.code)}</code> ${row.lastError.detail}</span>`;

/** Long names break after these. */
const breakable = (text: string): Html =>
  html`${text.split(/(?<=[/._])/).map((part) => html`${part}<wbr />`)}`;

function liveCell({ id, name, createdAtMs }: Live, hiddenMs: number): Html {
  return html`<span class="live"
    ><code>${id}</code>
    <span class="detail">${name}</span> ${countdown('hidden from lists', createdAtMs + hiddenMs)}</span
  >`;
}

/** "claimed for 12 s": the page's script counts the seconds, and leaves the text out when they are over. */
const countdown = (text: string, at: number): Html | false =>
  at > Date.now() &&
  html`<time
    class="detail dim"
    datetime="${new Date(at).toISOString()}"
    data-until="${at}"
    data-text="${text}"
    >${text} until ${clock(at)}</time
  >`;

function pairAction(of: { action: string; label: string; tenantId: string; elementKey: string }): Html {
  const { action, label, tenantId, elementKey } = of;
  return html`<form method="post" action="${action}">
    <input type="hidden" name="tenantId" value="${tenantId}" /><input
      type="hidden"
      name="elementKey"
      value="${elementKey}"
    /><button
      class="small"
      id="${action}/${tenantId}/${elementKey}"
      aria-label="${label}: ${tenantId}, ${elementKey}"
    >
      ${label}
    </button>
  </form>`;
}

function entryRow({ id, at, source, what, tenantId, outcome, tone, durationMs }: Entry): Html {
  return html`<tr data-key="${id}" class="${tone} ${source.replace(' ', '-').toLowerCase()}">
    <td class="when"><time datetime="${new Date(at).toISOString()}">${clock(at)}</time></td>
    <td class="source">${source}</td>
    <td class="what">${breakable(what)}</td>
    <td class="who">${tenantId !== undefined && breakable(tenantId)}</td>
    <td class="outcome">${outcome ?? html`<span class="waiting">waiting</span>`}</td>
    <td class="took">
      ${outcome === undefined ? html`<time data-since="${at}"></time>` : durationMs !== undefined && duration(durationMs)}
    </td>
  </tr>`;
}

function switchForm({ armed, listLagMs }: State): Html {
  return html`<p class="armed" role="status">
      ${armed ? switches[armed].armed : 'The next create succeeds.'}
    </p>
    <form method="post" action="/switch" class="switches">
      ${Object.entries(switches).map(
        ([name, { label, help }]) =>
          html`<button
            name="switch"
            value="${name}"
            id="switch-${name}"
            aria-pressed="${String(armed === name)}"
          >
            <b>${label}</b><span>${help}</span>
          </button>`,
      )}
    </form>
    <form method="post" action="/list-late" class="switches">
      <button id="list-late" aria-pressed="${String(listLagMs > 0)}">
        <b>List new instances late</b
        ><span
          >For ${lateListMs / 1_000} s, look-ups do not see a new instance. Makes the doubt last longer.</span
        >
      </button>
    </form> `;
}

const clock = (at: number): string => new Date(at).toLocaleTimeString('en-GB');

const duration = (ms: number): string => (ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`);

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;
