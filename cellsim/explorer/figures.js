// Curves with bands, one figure for each quantity, by uPlot. Only those on the screen are drawn while something is moved.
"use strict";

const COLOUR = { posterior: "#0072B2", band: "rgba(0, 114, 178, 0.22)", prior: "#6b6b6b", priorBand: "rgba(110, 110, 110, 0.13)",
  given: "#1b1b1b", limit: "#007a5a", measured: "#a34700", beyond: "#D55E00", beyondBand: "rgba(213, 94, 0, 0.22)" };

// Quantiles 5, 50 and 95 % of an output at every time, of the draws that could be simulated and are in. Draws keep nearly
// their places from one time to the next, so each is put into the order that the time before left.
function bands(result, place) {
  const { times, count, values, fine, done } = result, sorted = new Float64Array(count), order = [];
  for (let d = 0; d < done; d++) if (fine[d]) order.push(d);
  const n = order.length, known = sorted.subarray(0, n), out = [[], [], []];
  for (let s = 0; s < times.length; s++) {
    const begin = (place * times.length + s) * count;
    for (let k = 0; k < n; k++) {
      const d = order[k], value = values[begin + d];
      let at = k;
      // a value that is no number stands last
      if (value === value) for (; at > 0 && !(sorted[at - 1] <= value); at--) {
        sorted[at] = sorted[at - 1];
        order[at] = order[at - 1];
      }
      sorted[at] = value;
      order[at] = d;
    }
    for (let q = 0; q < 3; q++) out[q].push(n ? quantile(known, SHARES[q]) : null);
  }
  return out;
}

const SHARES = [0.05, 0.5, 0.95], restingBands = new WeakMap();

// Those of a result that is whole are kept: a plan moves beside the one that was given.
function bandsAtRest(result, place) {
  if (!restingBands.has(result)) restingBands.set(result, new Map());
  const kept = restingBands.get(result);
  if (!kept.has(place)) kept.set(place, bands(result, place));
  return kept.get(place);
}

class Figure {
  constructor(curve, model, parent) {
    this.curve = curve;
    this.model = model;
    this.seen = false;
    this.node = document.createElement("figure");
    this.caption = document.createElement("figcaption");
    this.caption.textContent = curve.label + (curve.unit && !curve.label.includes(curve.unit) ? ` (${curve.unit})` : "");
    this.place = document.createElement("div");
    this.place.setAttribute("role", "img");
    this.node.append(this.caption, this.place);
    parent.append(this.node);
    this.plot = null;
  }

  // both of one time axis: results are read at times of their own
  static joined(parts) {
    return uPlot.join(parts.map(({ times, lines }) => [times, ...lines]), parts.map(({ lines }) => lines.map(() => 2)));
  }

  draw(now, prior, given, beyond) {
    const { curve, model } = this, place = model.place[curve.output];
    const [low, middle, high] = bands(now, place), [priorLow, , priorHigh] = prior ? bandsAtRest(prior, place) : [[], [], []];
    const parts = [
      { times: now.times, lines: [high, low, middle] },
      { times: prior ? prior.times : [], lines: [priorHigh, priorLow] },
      { times: given ? given.times : [], lines: [given ? bandsAtRest(given, place)[1] : []] },
      { times: curve.measured.map(([day]) => day), lines: [curve.measured.map(([, value]) => value)] },
    ];
    // several values of one day stand beside one another
    for (let k = 1; k < parts[3].times.length; k++) if (parts[3].times[k] <= parts[3].times[k - 1]) parts[3].times[k] = nextUp(parts[3].times[k - 1]);
    const data = Figure.joined(parts);
    const ends = [...low, ...high, ...parts[2].lines[0], ...parts[3].lines[0]].filter((each) => Number.isFinite(each));
    for (const limit of [curve.low, curve.high]) if (limit !== null && limit < 4 * Math.max(...ends)) ends.push(limit);
    this.range = [Math.min(...ends), Math.max(...ends)];
    const pad = 0.05 * (this.range[1] - this.range[0]) || 0.05 * Math.abs(this.range[0]) || 1;
    this.range = [this.range[0] - pad, this.range[1] + pad];
    this.beyond = beyond;
    if (!this.plot) this.make(data);
    else this.plot.setData(data);
    const last = middle.length - 1;
    this.place.setAttribute("aria-label", `${this.caption.textContent}: ${short(middle[last])} on day ${short(now.times[last])}, 90 % ${short(low[last])} to ${short(high[last])}`);
  }

  make(data) {
    const { curve, model } = this, figure = this;
    const line = (stroke, width, dash) => ({ stroke, width, dash, points: { show: false }, spanGaps: true });
    const limits = (plot) => {
      plot.ctx.save();
      plot.ctx.strokeStyle = COLOUR.limit;
      plot.ctx.lineWidth = devicePixelRatio;
      for (const limit of [curve.low, curve.high]) {
        if (limit === null || limit < figure.range[0] || limit > figure.range[1]) continue;
        const y = Math.round(plot.valToPos(limit, "y", true)) + 0.5;
        plot.ctx.beginPath();
        plot.ctx.moveTo(plot.bbox.left, y);
        plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
        plot.ctx.stroke();
      }
      plot.ctx.restore();
    };
    const axis = { stroke: "#3d3d3d", font: "11px system-ui, sans-serif", grid: { stroke: "#ececec", width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      ...this.size(),
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 10, 0, 0],
      scales: { x: { time: false, range: [0, model.until] }, y: { range: () => figure.range } },
      axes: [{ ...axis, size: 26, gap: 2, space: 45 }, { ...axis, size: 46, gap: 3, space: 24, values: (_, ticks) => ticks.map(short) }],
      series: [
        {},
        line(null, 0), line(null, 0), { ...line(COLOUR.posterior, 2), stroke: () => (figure.beyond ? COLOUR.beyond : COLOUR.posterior) },
        line(COLOUR.prior, 1, [2, 3]), line(COLOUR.prior, 1, [2, 3]),
        line(COLOUR.given, 1.25, [6, 4]),
        { stroke: COLOUR.measured, paths: () => null, points: { show: true, size: 6, fill: COLOUR.measured, stroke: COLOUR.measured } },
      ],
      bands: [{ series: [1, 2], fill: () => (figure.beyond ? COLOUR.beyondBand : COLOUR.band) }, { series: [4, 5], fill: COLOUR.priorBand }],
      hooks: { drawSeries: [], draw: [limits] },
    }, data, this.place);
  }

  size() { return { width: Math.max(160, this.node.clientWidth - 2), height: 150 }; }

  resize() { if (this.plot) this.plot.setSize(this.size()); }
}
