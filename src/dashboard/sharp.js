// Before uPlot is loaded: a canvas is printed as it was drawn, with more points than most screens have.

const POINTS = 3;
const ratio = Math.max(POINTS, window.devicePixelRatio);
Object.defineProperty(window, 'devicePixelRatio', { get: () => ratio });
