/**
 * Keeps the page as the server renders it, without reloading: the server sends regions of the page, and children with a
 * `data-key` are replaced only when they have changed, so focus, selection and scroll position stay.
 */

/** The markup that an element was made from, before `tick` changed its times. @type {WeakMap<Element, string>} */
const sources = new WeakMap();
/** @type {Map<string, string>} */
const shown = new Map();
const connection = document.getElementById('connection');

for (const keyed of document.querySelectorAll('[data-key]')) sources.set(keyed, keyed.outerHTML);

const stream = new EventSource('/stream');
stream.addEventListener('open', () => showConnection('live'));
stream.addEventListener('error', () => showConnection('not connected: has the stack ended?'));
stream.addEventListener('message', ({ data }) => {
  /** @type {Record<string, string>} */
  const regions = JSON.parse(data);
  for (const [id, markup] of Object.entries(regions)) update(id, markup);
  tick();
});
setInterval(tick, 500);
tick();

document.addEventListener('submit', (event) => {
  const { target: form, submitter } = event;
  if (!(form instanceof HTMLFormElement)) return;
  event.preventDefault();
  void send(form, submitter);
});

/**
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} submitter
 */
async function send(form, submitter) {
  const body = new URLSearchParams();
  for (const [name, value] of new FormData(form, submitter)) {
    if (typeof value === 'string') body.append(name, value);
  }
  try {
    // A redirect leads to the page, which the stream updates.
    const response = await fetch(form.action, { method: 'POST', body, redirect: 'manual' });
    if (response.status >= 400) showConnection(`refused: ${await response.text()}`);
  } catch {
    showConnection('not connected: has the stack ended?');
  }
}

/** @param {string} text */
function showConnection(text) {
  if (!connection || connection.textContent === text) return;
  connection.textContent = text;
  connection.className = text === 'live' ? 'good' : 'bad';
}

/**
 * @param {string} id
 * @param {string} markup
 */
function update(id, markup) {
  const region = document.getElementById(id);
  if (!region || shown.get(id) === markup) return;
  shown.set(id, markup);
  const focusedId = region.contains(document.activeElement) ? document.activeElement?.id : undefined;
  const template = document.createElement('template');
  template.innerHTML = markup;
  if (template.content.firstElementChild?.hasAttribute('data-key')) updateKeyed(region, template.content);
  else region.replaceChildren(template.content);
  if (focusedId && document.activeElement?.id !== focusedId) document.getElementById(focusedId)?.focus();
}

/**
 * @param {Element} region
 * @param {DocumentFragment} content
 */
function updateKeyed(region, content) {
  const before = new Map([...region.children].map((child) => [child.getAttribute('data-key'), child]));
  let place = region.firstElementChild;
  // A copy: a child that is inserted leaves the content.
  for (const child of Array.from(content.children)) {
    const known = before.get(child.getAttribute('data-key'));
    before.delete(child.getAttribute('data-key'));
    const source = child.outerHTML;
    if (known && sources.get(known) === source) {
      if (known === place) place = place.nextElementSibling;
      else region.insertBefore(known, place);
      continue;
    }
    sources.set(child, source);
    highlight(child);
    if (!known) region.insertBefore(child, place);
    else {
      if (known === place) place = place.nextElementSibling;
      known.remove();
      region.insertBefore(child, place);
    }
  }
  for (const gone of before.values()) gone.remove();
}

/** The class is taken off again: an animation restarts whenever its element is displayed again. @param {Element} element */
function highlight(element) {
  element.classList.add('changed');
  setTimeout(() => element.classList.remove('changed'), 1_500);
}

/** Counts the seconds until a time, or since one. */
function tick() {
  for (const time of document.querySelectorAll('time[data-until]')) {
    const seconds = Math.ceil((Number(time.getAttribute('data-until')) - Date.now()) / 1_000);
    setText(time, seconds > 0 ? `${time.getAttribute('data-text')} for ${seconds}\u00a0s` : '');
  }
  for (const time of document.querySelectorAll('time[data-since]')) {
    setText(time, `${((Date.now() - Number(time.getAttribute('data-since'))) / 1_000).toFixed(0)} s`);
  }
}

/**
 * @param {Element} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
