// The few things that are done with the page's elements. Text only ever becomes text.

/**
 * The element with an id, of the kind that it must be.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * Makes an element; a string among its children becomes text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * Makes an element that shows a share of something; the style sheet draws it.
 * @param {string} name class
 * @param {Record<string, number>} shares from 0 to 1, by custom property
 */
export function bar(name, shares) {
  const made = el('span', { class: name });
  for (const [property, value] of Object.entries(shares)) {
    made.style.setProperty(property, String(Math.min(1, Math.max(0, value))));
  }
  return made;
}

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {'text' | 'number' | 'extra'} kind the extra ones are left out where there is no room
 */

/**
 * Makes a table. The first cell of a row is its header.
 * @param {string} caption
 * @param {readonly Column[]} columns
 * @param {readonly (Node | string)[][]} rows
 * @param {readonly (Node | string)[]} [foot]
 */
export function table(caption, columns, rows, foot) {
  /** @param {readonly (Node | string)[]} cells */
  const row = (cells) =>
    el(
      'tr',
      {},
      ...cells.map((cell, i) =>
        el(
          i === 0 ? 'th' : 'td',
          { class: columns[i]?.kind ?? 'text', ...(i === 0 ? { scope: 'row' } : {}) },
          cell,
        ),
      ),
    );
  const head = columns.map(({ title, kind }) => el('th', { scope: 'col', class: kind }, title));
  return el(
    'table',
    {},
    el('caption', { class: 'hidden-text' }, caption),
    el('thead', {}, el('tr', {}, ...head)),
    el('tbody', {}, ...rows.map(row)),
    ...(foot ? [el('tfoot', {}, row(foot))] : []),
  );
}
