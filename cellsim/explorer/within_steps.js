// What lies inside a step, on its dense output: conditions on states that turn there (cellsim.solver.step_events), greatest
// values (cellsim.solver.step_control), and the time that an output is below a level. Methods of Group.
"use strict";

const BETWEEN = 0.6180339887498949, EARLY = 0.1464466094067262, SOON = 1e-6, FOLLOWED = 0.01, NO_DELAY = 1e-7, ROUGH = 2e-4, FINEST = 1e-5;
const PLACES = [0, 0.25, 0.5, 0.75, 1, BETWEEN, EARLY, 0.3794733192202055, 0.9168766718381447];

Object.assign(Group.prototype, {
  // ---- conditions on states (cellsim.solver.step_events) ----

  renewModes() {
    const { states, width: W, off, modes } = this.machine, w = this.w;
    w.copyWithin(off.ys, off.y, off.y + states * W);
    this.call("modes");
    w.copyWithin(off.y + (states - modes) * W, off.modes, off.modes + modes * W);
  },

  changedMode() {
    const { states, width: W, off, modes } = this.machine, w = this.w, held = off.y + (states - modes) * W;
    this.call("modes");
    for (let i = 0; i < modes * W; i++)
      if (w[off.modes + i] !== w[held + i] && this.source[i % W] === i % W) return Math.floor(i / W);
    return -1;
  },

  leaveBranch(span) {
    const { states, width: W, off } = this.machine, w = this.w, size = states * W;
    this.call("rhs");
    for (let i = 0; i < size; i++) w[off.ys + i] = w[off.y + i] + 10 * span * w[off.f + i];
    const mode = this.changedMode();
    if (mode >= 0) {
      for (let i = 0; i < size; i++) w[off.y + i] += 10 * span * w[off.f + i];
      this.renewModes();
    }
    return mode;
  },

  gapAt(theta, gap) {
    this.interpolate(theta, this.machine.off.ys);
    this.call("gaps");
    return this.w[this.machine.off.gaps + gap];
  },

  gapError(gap) {
    const { states, width: W, off } = this.machine, { w, rtol } = this, size = states * W;
    w.copyWithin(off.ys, off.y1, off.y1 + size);
    this.call("gaps");
    const here = w[off.gaps + gap];
    let total = 0;
    for (let i = gap % W; i < size; i += W) {
      if (!(w[off.atol + i] < 1e299)) continue; // the clock
      w[off.ys + i] += w[off.atol + i] + rtol * Math.abs(w[off.y1 + i]);
      this.call("gaps");
      total += Math.abs(w[off.gaps + gap] - here);
      w[off.ys + i] = w[off.y1 + i];
    }
    return total;
  },

  across(count, i, side, wide) {
    const sign = side ? 1 : -1;
    let lowest = Infinity, at = 0, reach = 0.02, farthest = 0, found = 0;
    for (let look = 1; look < 80; look++) {
      const here = sign * throughFive(this.seen, count, i, look / 80);
      if (here < lowest) [lowest, at] = [here, look / 80];
    }
    if (lowest > 0.05 * wide) return 0;
    for (let round = 0; round < 3; round++) {
      at = Math.min(Math.max(at, reach), 1 - reach);
      const [low, here, high] = [-1, 0, 1].map((each) => sign * this.gapAt(at + each * reach, i));
      [low, here, high].forEach((value, probe) => {
        if (value < farthest) [farthest, found] = [value, at + (probe - 1) * reach];
      });
      const bend = low - 2 * here + high;
      if (!(bend > 0)) break;
      at += Math.min(Math.max(0.5 * (low - high) / bend, -1), 1) * reach;
      reach *= 0.15;
    }
    return found;
  },

  // where this step is to end, as a share of it; 0: at its end
  turnedWithin(long, longer) {
    const { states, width: W, off, gaps } = this.machine, { w, seen } = this, size = states * W, count = gaps * W;
    const probes = longer ? 9 : 7;
    for (let probe = 0; probe < probes; probe++) {
      if (probe === 0) w.copyWithin(off.ys, off.y, off.y + size);
      else if (probe === 4) w.copyWithin(off.ys, off.y1, off.y1 + size);
      else this.interpolate(PLACES[probe], off.ys);
      this.call("gaps");
      for (let i = 0; i < count; i++) seen[probe * count + i] = w[off.gaps + i];
    }
    for (let i = 0; i < count; i++) {
      let low = seen[i], high = seen[i], near = Math.abs(seen[i]);
      for (let probe = 1; probe < probes; probe++) {
        const here = seen[probe * count + i];
        low = Math.min(low, here);
        high = Math.max(high, here);
        near = Math.min(near, Math.abs(here));
      }
      const reach = high - low;
      let rest = 0;
      for (let probe = 5; probe < probes; probe++)
        rest = Math.max(rest, Math.abs(throughFive(seen, count, i, PLACES[probe]) - seen[probe * count + i]));
      if (long && rest > FOLLOWED * reach && 100 * rest > near && rest > this.gapError(i)) return 0.5;
      let side = seen[i] > 0, end = seen[4 * count + i] > 0;
      if (Math.abs(seen[i]) <= NO_DELAY * reach) side = this.gapAt(SOON, i) > 0;
      if (Math.abs(seen[4 * count + i]) <= NO_DELAY * reach) end = this.gapAt(1 - SOON, i) > 0;
      if (end !== side) continue;
      let theta = 0;
      for (let probe = 1; probe < 4 && theta === 0; probe++) {
        let before = seen[(probe - 1) * count + i], here = seen[probe * count + i], after = seen[(probe + 1) * count + i];
        if (here > 0 !== side) {
          theta = 0.25 * probe;
          break;
        }
        let wide = 0.25, at = 0.25 * probe;
        for (let round = 0; round < 4; round++) {
          const bend = before - 2 * here + after, slope = 0.5 * (after - before);
          if (bend === 0 || bend > 0 !== side || Math.abs(slope) > Math.abs(bend)) break;
          const lowest = here - 0.5 * slope * slope / bend;
          if (lowest > 0 === side && Math.abs(lowest) > 0.2 * Math.abs(here)) break;
          at = Math.min(Math.max(at - wide * slope / bend, 1e-9), 1 - 1e-9);
          here = this.gapAt(at, i);
          if (here > 0 !== side) {
            theta = at;
            break;
          }
          wide = 0.3 * Math.min(wide, at, 1 - at);
          before = this.gapAt(at - wide, i);
          after = this.gapAt(at + wide, i);
        }
      }
      for (let attempt = 0; attempt < 2; attempt++) {
        if (attempt) theta = this.across(count, i, side, reach);
        if (theta > 0 && Math.abs(this.gapAt(theta, i)) > this.gapError(i)) return theta;
      }
    }
    return 0;
  },

  // the first mode that turns in the step, and where; [-1, 1] if none does
  hitWithin() {
    const ys = this.machine.off.ys;
    for (let probe = 1; probe < 5; probe++) {
      this.needDense();
      this.interpolate(0.25 * probe, ys);
      let hit = this.changedMode();
      if (hit < 0) continue;
      let low = 0.25 * (probe - 1), high = 0.25 * probe;
      for (let round = 0; round < 60; round++) {
        const theta = 0.5 * (low + high);
        if (theta <= low || theta >= high) break;
        this.interpolate(theta, ys);
        const first = this.changedMode();
        if (first >= 0) [hit, high] = [first, theta];
        else low = theta;
      }
      return [hit, high];
    }
    return [-1, 1];
  },

  // events that time alone sets off, all from the values before any of them
  fire(events) {
    const { width: W, off, states, targets } = this.machine, w = this.w;
    w.copyWithin(off.y1, off.y, off.y + states * W);
    for (const { index, lanes } of events) {
      this.call(`event${index}`);
      for (const i of targets[index])
        for (let l = 0; l < W; l++) if (lanes[l]) w[off.y1 + i * W + l] = w[off.ys + i * W + l];
    }
    w.copyWithin(off.y, off.y1, off.y1 + states * W);
  },

  // ---- greatest values (cellsim.solver.step_control), and the time below a level, both on the dense output ----

  readWatched(row) {
    const { width: W, off, watched, peaks } = this.machine, { w, heights } = this, count = watched.length;
    this.k.watch(this.base, this.base);
    for (let k = 0; k < count; k++) for (let l = 0; l < W; l++) {
      const here = k * W + l, value = w[off.g + watched[k] * W + l];
      heights[row * count * W + here] = value;
      if (k < peaks && this.source[l] === l && (value > this.greatest[here] || value !== value)) this.greatest[here] = value;
    }
  },

  // only the states that tell what is watched
  look(place, row) {
    const { width: W, off, padded, looked } = this.machine, w = this.w, rest = 1 - place;
    const y = off.y, y1 = off.y1, ys = off.ys, k1 = off.dense, k2 = k1 + padded, k3 = k2 + padded;
    for (let n = 0; n < looked.length; n++) for (let i = looked[n] * W, end = i + W; i < end; i++) {
      const inner = w[k1 + i] + place * (w[k2 + i] + place * w[k3 + i]);
      w[ys + i] = rest * w[y + i] + place * (w[y1 + i] + rest * inner);
    }
    this.readWatched(row);
  },

  followWatched(t, h, last) {
    const { width: W, watched, peaks, since, inTime } = this.machine, a = this.heights, count = watched.length * W;
    const highest = peaks * W;
    let left = Math.max((since - t) / h, 0), wide = last - left, known = false, cut = inTime;
    while (left < last && wide > 0) {
      if (!known) this.look(left, 0);
      this.look(left + wide, 4);
      this.look(left + 0.5 * wide, 2);
      let some = cut, rough = false;
      for (let i = 0; i < highest; i++) {
        const low = Math.min(a[i], a[2 * count + i], a[4 * count + i]), high = Math.max(a[i], a[2 * count + i], a[4 * count + i]);
        some ||= high + (high - low) > this.greatest[i];
      }
      if (some && peaks) {
        for (const row of [1, 3, 5]) this.look(left + (row < 5 ? 0.25 * row : BETWEEN) * wide, row);
        for (let i = 0; i < highest; i++) {
          let low = a[i], high = a[i];
          for (let row = 1; row < 6; row++) {
            low = Math.min(low, a[row * count + i]);
            high = Math.max(high, a[row * count + i]);
          }
          const rest = Math.abs(throughFive(a, count, i, BETWEEN) - a[5 * count + i]);
          rough ||= rest > ROUGH * (high - low) && high + (high - low) > this.greatest[i];
        }
      }
      if (rough && wide > FINEST) {
        wide *= 0.5;
        known = cut = true;
        continue;
      }
      for (let i = 0; i < (some ? highest : 0); i++) this.nearTop(i, left, wide);
      this.followLevels(left, wide, h);
      for (let i = 0; i < count; i++) a[i] = a[4 * count + i];
      known = true;
      left += wide;
      wide = Math.min(2 * wide, last - left);
    }
  },

  // the output itself near where the polynomial through five of its values has its top
  nearTop(i, left, wide) {
    const a = this.heights, count = this.machine.watched.length * this.machine.width;
    let best = this.greatest[i] + 1e-12 * Math.abs(this.greatest[i]), top = -1, near = 0.02;
    for (let each = 1; each < 80; each++) {
      const value = throughFive(a, count, i, each / 80);
      if (value > best) [best, top] = [value, each / 80];
    }
    for (let round = 0; round < 2 && top >= 0; round++) {
      top = Math.min(Math.max(top, near), 1 - near);
      for (let row = 1; row < 4; row++) this.look(left + (top + (row - 2) * near) * wide, 4 + row);
      const before = a[5 * count + i], here = a[6 * count + i], after = a[7 * count + i], bend = before - 2 * here + after;
      if (!(bend < 0)) return;
      top += Math.min(Math.max(0.5 * (before - after) / bend, -1), 1) * near;
      near *= 0.1;
    }
  },

  // how long each output with a level is below it in a piece of a step, of which rows 0, 2 and 4 are known
  followLevels(left, wide, h) {
    const { width: W, watched, levels } = this.machine, a = this.heights, count = watched.length * W;
    levels.forEach(({ k, level }, n) => {
      for (let l = 0; l < W; l++) {
        const i = k * W + l, above = (place) => {
          this.look(left + place * wide, 7);
          return a[7 * count + i] - level;
        };
        const begin = a[i] - level, middle = a[2 * count + i] - level, end = a[4 * count + i] - level;
        const points = [[0, begin], [0.5, middle], [1, end]];
        const bend = begin - 2 * middle + end, slope = 0.5 * (end - begin), top = 0.5 - 0.5 * slope / bend;
        // where a parabola turns inside, the output may cross twice
        if (top > 0.02 && top < 0.98 && Math.abs(middle) < 2 * Math.abs(bend)) {
          points.push([top, above(top)]);
          points.sort((one, other) => one[0] - other[0]);
        }
        for (let p = 0; p + 1 < points.length; p++) {
          const [from, first] = points[p], [to, second] = points[p + 1];
          let below = first < 0 ? to - from : 0;
          if (first < 0 !== second < 0) {
            const at = crossing(from, first, to, second, above);
            below = first < 0 ? at - from : to - at;
          }
          this.below[n * W + l] += below * wide * h;
        }
      }
    });
  },
});

// where between two places a continuous function of a place is zero (Illinois)
function crossing(from, first, to, second, value) {
  for (let round = 0, side = 0; round < 60 && Math.abs(to - from) > 1e-12; round++) {
    const at = (from * second - to * first) / (second - first), here = value(at);
    if (here === 0) return at;
    if (here < 0 === second < 0) {
      [to, second] = [at, here];
      if (side < 0) first *= 0.5;
      side = -1;
    } else {
      [from, first] = [at, here];
      if (side > 0) second *= 0.5;
      side = 1;
    }
    if (Math.abs(here) < 1e-15) break;
  }
  return (from * second - to * first) / (second - first);
}

// the polynomial through five values, at x between 0 and 1
function throughFive(a, count, i, x) {
  const y0 = a[i], y1 = a[count + i], y2 = a[2 * count + i], y3 = a[3 * count + i], y4 = a[4 * count + i];
  const d1 = y1 - y0, d2 = y2 - 2 * y1 + y0, d3 = y3 - 3 * (y2 - y1) - y0, d4 = y4 - 4 * (y3 + y1) + 6 * y2 + y0;
  x *= 4;
  return y0 + x * (d1 + 0.5 * (x - 1) * (d2 + (x - 2) / 3 * (d3 + 0.25 * (x - 3) * d4)));
}
