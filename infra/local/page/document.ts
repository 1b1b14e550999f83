import { elements } from '../cloud-elements/catalog.ts';
import { html, type Html } from './html.ts';
import type { Regions } from './regions.ts';

/** Whole documents: the page, and the frame that it shares with the API reference. */

const pages = { '/': 'Local stack', '/api': 'API reference' };

export function frame({
  path,
  styles,
  scripts,
  status,
  content,
}: {
  path: keyof typeof pages;
  styles: readonly string[];
  scripts: Html;
  /** At the right of the header. */
  status: Html;
  content: Html;
}): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${pages[path]} · element-onboarding</title>
        <link rel="icon" href="/icon.svg" type="image/svg+xml" />
        ${styles.map((style) => html`<link rel="stylesheet" href="${style}" />`)} ${scripts}
      </head>
      <body>
        <header class="top">
          <h1><a href="/">element-onboarding</a> <span class="dim">on this machine</span></h1>
          <nav aria-label="Pages">
            ${Object.entries(pages).map(
              ([href, title]) =>
                html`<a href="${href}" ${href === path && html`aria-current="page"`}>${title}</a>`,
            )}
          </nav>
          ${status}
        </header>
        ${content}
      </body>
    </html> `;
}

export function pageOf(regions: Regions, addresses: Readonly<Record<string, string>>): Html {
  return frame({
    path: '/',
    styles: ['/frame.css', '/page.css'],
    scripts: html`<script type="module" src="/page.js"></script>`,
    status: html`<p id="connection" role="status">
      <noscript><a href="/">Reload</a> to see the latest state.</noscript>
    </p>`,
    content: html`<main>
        <dl id="summary" class="tiles" aria-label="Summary">${regions.summary}</dl>

        <div class="controls">
          <section aria-labelledby="provision-title">
            <h2 id="provision-title">Provision a tenant</h2>
            <form method="post" action="/provision" class="provision">
              <label
                >Tenant
                <input
                  name="tenantId"
                  value="acme"
                  required
                  maxlength="64"
                  autocomplete="off"
                  spellcheck="false"
              /></label>
              <label
                >Element
                <select name="elementKey">
                  ${elements.map(({ key, name }) => html`<option value="${key}">${name}</option>`)}
                </select></label
              >
              <label
                >Name <input name="name" placeholder="optional" maxlength="255" autocomplete="off"
              /></label>
              <label>Tags <input name="tags" placeholder="eu, gold" autocomplete="off" /></label>
              <fieldset>
                <legend>By</legend>
                <label><input type="radio" name="by" value="request" checked /> HTTP request</label>
                <label><input type="radio" name="by" value="event" /> event</label>
              </fieldset>
              <button class="primary">Provision</button>
            </form>
            <p class="hint">
              The credentials are made up; the simulated Cloud Elements takes any. The same request again gets
              the same instance.
            </p>
            <div id="result" role="status">${regions.result}</div>
          </section>

          <section aria-labelledby="switches-title">
            <h2 id="switches-title">Break the next create</h2>
            <div id="switches">${regions.switches}</div>
          </section>
        </div>

        <div class="views">
          <section aria-labelledby="tenants-title">
            <div class="heading">
              <h2 id="tenants-title">Tenants</h2>
              <form method="post" action="/reconcile">
                <button class="small" title="It also runs every minute">Reconcile now</button>
              </form>
            </div>
            <table class="pairs">
              <thead>
                <tr>
                  <th scope="col">Tenant</th>
                  <th scope="col">In the table</th>
                  <th scope="col">At Cloud Elements</th>
                  <th scope="col">Finding</th>
                  <th scope="col"><span class="hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody id="tenants">
                ${regions.tenants}
              </tbody>
            </table>
            <p id="more" class="hint">${regions.more}</p>
          </section>

          <section aria-labelledby="activity-title">
            <h2 id="activity-title">Events and requests</h2>
            <table class="activity">
              <thead>
                <tr>
                  <th scope="col">Time</th>
                  <th scope="col">Source</th>
                  <th scope="col">What</th>
                  <th scope="col">Tenant</th>
                  <th scope="col">Outcome</th>
                  <th scope="col">Took</th>
                </tr>
              </thead>
              <tbody id="activity">
                ${regions.activity}
              </tbody>
            </table>
          </section>
        </div>
      </main>
      <footer>
        <dl>
          ${Object.entries(addresses).map(
            ([name, address]) =>
              html`<div>
                <dt>${name}</dt>
                <dd><code>${address}</code></dd>
              </div>`,
          )}
        </dl>
      </footer>`,
  });
}
