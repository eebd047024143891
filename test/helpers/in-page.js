// Runs in the page under test, before its own scripts: what only the page can tell of itself.

/** @typedef {[number, number, number, number]} Colour red, green, blue from 0 to 255, and opacity */

/** Reads a computed colour. @param {string} text @returns {Colour} */
function read(text) {
  const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\d.]+/g) ?? []).map(Number);
  return [r, g, b, a];
}

/** What is behind an element. @param {Element | null} element @returns {Colour} */
function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = read(getComputedStyle(at).backgroundColor);
    if (colour[3] === 1) return colour;
    if (colour[3] !== 0) throw new Error(`a half-transparent background: ${at.outerHTML}`);
  }
  throw new Error('nothing behind it has a colour');
}

/** Contrast of two colours as WCAG has it. @param {Colour} one @param {Colour} other */
function contrast(one, other) {
  const [light = 0, dark = 0] = [one, other]
    .map((colour) =>
      [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const part = (colour[i] ?? 0) / 255;
        return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
      }, 0),
    )
    .sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

/** @param {Element} element */
const visible = (element) => element.checkVisibility() && !element.closest('.hidden-text, .skip');
const all = () => [...document.body.querySelectorAll('*')].filter(visible);
/** @param {Element} element */
const named = (element) =>
  `<${element.tagName.toLowerCase()} class="${element.className}"> ${element.textContent?.slice(0, 40)}`;

const probe = {
  /** @type {string[]} */
  violations: [],

  /** The cells of the rows of a table. @param {string} place a selector */
  rows: (place) =>
    [...document.querySelectorAll(`${place} tr`)].map((row) =>
      [...row.children].map((cell) => cell.textContent ?? ''),
    ),

  /** Texts with less contrast than WCAG AA asks for. */
  faintTexts: () =>
    all().flatMap((element) => {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
      if (!own && !element.matches('input')) return [];
      const { color, fontSize, fontWeight } = getComputedStyle(element);
      const size = Number.parseFloat(fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
      const ratio = contrast(read(color), behind(element));
      return ratio < (large ? 3 : 4.5) ? [`${ratio.toFixed(2)} ${named(element)}`] : [];
    }),

  /** Graphics and edges of controls with less contrast than WCAG AA asks for. */
  faintGraphics: () =>
    all().flatMap((element) => {
      const style = getComputedStyle(element);
      /** @type {string[]} */
      const colours = [];
      if (element.matches('.swatch, .meter .used, .meter .mark')) colours.push(style.backgroundColor);
      if (element.matches('button:not(.primary), input:not([type=radio]), .toolbar label > span')) {
        colours.push(style.borderTopColor);
      }
      return colours.flatMap((colour) => {
        const ratio = contrast(read(colour), behind(element.parentElement));
        return ratio < 3 ? [`${ratio.toFixed(2)} ${named(element)}`] : [];
      });
    }),

  /** What reaches out of the window, or out of its own box. */
  overflows: () => {
    const width = document.documentElement.clientWidth;
    const wide =
      document.documentElement.scrollWidth > width
        ? [`the page is ${document.documentElement.scrollWidth} wide`]
        : [];
    const outside = all()
      .filter((element) => !element.closest('.scroll > *, .uplot'))
      .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        const box = element.parentElement?.closest('.panel')?.getBoundingClientRect();
        return right > (box?.right ?? width) + 0.5 || left < (box?.left ?? 0) - 0.5;
      });
    return [...wide, ...outside.map(named)];
  },

  /** Every text of the page and of its attributes, those that are not on the screen too. */
  texts: () => {
    const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_ALL);
    const found = [document.title];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node instanceof Element) for (const { value } of node.attributes) found.push(value);
      else if (node.parentElement?.matches('script, style') === false) found.push(node.nodeValue ?? '');
      if (node instanceof HTMLInputElement) found.push(node.value);
    }
    return found;
  },

  /** What has the focus, and whether that shows. */
  focus: () => {
    const element = document.activeElement;
    const shown = element?.matches('input[type=radio]') ? element.nextElementSibling : element;
    if (!element || !shown) return null;
    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
    return {
      id: element.id,
      text: (element.closest('label') ?? element).textContent?.trim() ?? '',
      outlined: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2,
    };
  },

  /** Controls and regions without a name. */
  nameless: () =>
    [...document.querySelectorAll('input, button, fieldset, table, section, [role=meter], [role=img]')]
      .filter((element) => element.checkVisibility())
      .filter((element) => {
        const labels = element instanceof HTMLInputElement ? [...(element.labels ?? [])] : [];
        const by = document.getElementById(element.getAttribute('aria-labelledby') ?? '');
        const inner = element.matches('button')
          ? element
          : element.querySelector(':scope > legend, :scope > caption');
        return ![
          element.getAttribute('aria-label'),
          ...labels.map((label) => label.textContent),
          by?.textContent,
          inner?.textContent,
        ].some(Boolean);
      })
      .map((element) => element.outerHTML.slice(0, 80)),

  kept: () => ({ session: { ...sessionStorage }, local: { ...localStorage }, cookie: document.cookie }),
};

document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  probe.violations.push(`${violatedDirective} ${blockedURI}`);
});
Object.assign(window, { probe });
