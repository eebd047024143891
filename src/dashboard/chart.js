// Usage over time, stacked by type; and the same as a table.

import uPlot from '/assets/uPlot.esm.js';
import { el, table } from './dom.js';
import { bytes, count, printable, shortBytes, shortCount, shortTime } from './format.js';
import { colourOf, typesOf } from './panels.js';

/** @import { Series } from './api.js' */
/** @typedef {'events' | 'bytes'} Measure */

const LENGTH = { hour: 3600, day: 86_400 };
const HEIGHT = 260;
/** Steps between the lines of the scale: counts are whole, bytes go by powers of two. */
const INCREMENTS = {
  events: Array.from({ length: 19 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat(),
  bytes: Array.from({ length: 63 }, (_, power) => 2 ** power),
};
const WRITE = { events: count, bytes };
const WRITE_SHORT = { events: shortCount, bytes: shortBytes };

/** @typedef {{ times: number[], labels: string[], types: string[], values: number[][] }} Grid values by type and step */

/**
 * A series with every step of its period, also those without events.
 * @param {Series} series
 * @param {Measure} measure
 * @returns {Grid}
 */
export function gridOf(series, measure) {
  const { period, step, points } = series;
  const length = LENGTH[step];
  /** @param {string} time */
  const seconds = (time) => Date.parse(time) / 1000;
  // An hour belongs to the period in which it starts; of a day, what is in the period is shown.
  const start = seconds(period.start);
  const first = (step === 'hour' ? Math.ceil(start / length) : Math.floor(start / length)) * length;
  const last = Math.max(
    Math.ceil(seconds(period.end) / length) * length - length,
    ...points.map(({ time }) => seconds(time)),
  );
  const steps = Math.max(1, Math.round((last - first) / length) + 1);
  const types = typesOf(series);
  const times = Array.from({ length: steps }, (_, i) => first + i * length);
  const values = types.map(() => times.map(() => 0));
  for (const point of points) {
    const row = values[types.indexOf(point.event_type)];
    const i = Math.round((seconds(point.time) - first) / length);
    if (row && i >= 0 && i < steps) row[i] = Number(point[measure]);
  }
  const labels = times.map((time) => {
    const iso = new Date(time * 1000).toISOString();
    return step === 'hour' ? shortTime(iso) : iso.slice(0, 10);
  });
  return { times, labels, types, values };
}

/** What a step has, in words; of types that have nothing in it, nothing. @param {Grid} grid @param {number} i @param {Measure} measure */
export function stepWords({ labels, types, values }, i, measure) {
  const parts = types.flatMap((type, t) => {
    const value = values[t]?.[i] ?? 0;
    return value === 0 ? [] : [`${printable(type)} ${WRITE[measure](value)}`];
  });
  const total = values.reduce((sum, row) => sum + (row[i] ?? 0), 0);
  return `${labels[i]}: ${WRITE[measure](total)}${parts.length > 1 ? ` (${parts.join(', ')})` : parts.length === 1 ? ` (${types.find((_, t) => values[t]?.[i])})` : ''}`;
}

/** @param {Grid} grid @param {Measure} measure */
export function gridTable({ labels, types, values }, measure) {
  const columns = ['Time', ...types.map(printable), 'Total'].map((title, i) => ({
    title,
    kind: i === 0 ? /** @type {const} */ ('text') : /** @type {const} */ ('number'),
  }));
  const rows = labels.map((label, i) => {
    const row = values.map((of) => of[i] ?? 0);
    return [label, ...[...row, row.reduce((a, b) => a + b, 0)].map((value) => WRITE[measure](value))];
  });
  return table(measure === 'events' ? 'Events over time' : 'Stored bytes over time', columns, rows);
}

/**
 * Draws the chart into an element, over what was there.
 * @param {HTMLElement} box
 * @param {Grid} grid
 * @param {Measure} measure
 * @param {object} options
 * @param {Series['step']} options.step
 * @param {(i: number | null, byKey: boolean) => void} options.told hears which step is pointed at
 * @returns {() => void} takes it away again
 */
export function draw(box, grid, measure, { step, told }) {
  const length = LENGTH[step];
  const { times, types, values } = grid;
  const colour = colours(box);
  // Each type is drawn from the bottom with all below it, the highest first, so that the next covers its lower part.
  let below = times.map(() => 0);
  const stacked = values.map((row) => {
    below = below.map((sum, i) => sum + (row[i] ?? 0));
    return below;
  });
  const bars = uPlot.paths.bars?.({ size: [0.88, 72], align: 1 });
  const axis = {
    font: `12px ${getComputedStyle(box).fontFamily}`,
    stroke: colour('--muted'),
    grid: { stroke: colour('--grid'), width: 1 },
    ticks: { show: false },
  };
  let byKey = false;
  /** @type {uPlot.Options} */
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false, setScale: false },
      // A bar stands on the time from its step's start to its end.
      dataIdx: (u, _series, _index, x) => {
        const i = Math.floor((x - (times[0] ?? 0)) / length);
        return Math.min(Math.max(i, 0), u.data[0].length - 1);
      },
    },
    scales: {
      x: { time: true, range: () => [times[0] ?? 0, (times.at(-1) ?? 0) + length] },
      y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.05 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 56,
        size: 28,
        incrs: [1, 2, 3, 6, 12, 24, 48, 72, 168, 336]
          .map((hours) => hours * 3600)
          .filter((incr) => incr >= length),
        // Where the last bar ends, nothing begins.
        values: (_u, splits) =>
          splits.map((seconds) => (seconds > (times.at(-1) ?? 0) ? '' : axisTime(seconds, length))),
      },
      {
        ...axis,
        size: 64,
        space: 36,
        incrs: INCREMENTS[measure],
        values: (_u, splits) => splits.map((value) => WRITE_SHORT[measure](value)),
      },
    ],
    series: [
      {},
      ...types
        .map((type) => ({
          fill: colour(colourOf(type)),
          width: 0,
          points: { show: false },
          ...(bars ? { paths: bars } : {}),
        }))
        .reverse(),
    ],
    hooks: {
      setCursor: [
        (u) => told(u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null, byKey),
      ],
    },
  };
  const plot = new uPlot(options, [times, ...stacked.reverse()], box);
  plot.root.setAttribute('aria-hidden', 'true');

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const now = plot.cursor.left !== undefined && plot.cursor.left >= 0 ? (plot.cursor.idx ?? -1) : -1;
    const end = times.length - 1;
    /** @type {Record<string, number>} */
    const next = { ArrowLeft: now < 0 ? end : now - 1, ArrowRight: now + 1, Home: 0, End: end };
    const i = next[event.key];
    if (i === undefined && event.key !== 'Escape') return;
    event.preventDefault();
    byKey = true;
    const to =
      i === undefined ? -10 : plot.valToPos((times[Math.min(Math.max(i, 0), end)] ?? 0) + length / 2, 'x');
    plot.setCursor({ left: to, top: to < 0 ? -10 : 0 });
    byKey = false;
  };
  box.addEventListener('keydown', onKey);
  const resized = new ResizeObserver(() => {
    if (box.clientWidth > 0 && box.clientWidth !== plot.width)
      plot.setSize({ width: box.clientWidth, height: HEIGHT });
  });
  resized.observe(box);
  return () => {
    resized.disconnect();
    box.removeEventListener('keydown', onKey);
    plot.destroy();
  };
}

/** The day where one starts, else the hour. @param {number} seconds @param {number} length */
function axisTime(seconds, length) {
  const iso = new Date(seconds * 1000).toISOString();
  return length === LENGTH.day || seconds % LENGTH.day === 0 ? iso.slice(5, 10) : iso.slice(11, 16);
}

/** Looks up colours of the style sheet, as they are in this light. @param {HTMLElement} box */
function colours(box) {
  const probe = el('span', { hidden: '' });
  box.append(probe);
  queueMicrotask(() => probe.remove());
  return (/** @type {string} */ name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
}
