// The step loop of cellsim.solver.step_loop for the kernels as WebAssembly: the same breaks, the same step control. What
// lies inside a step is in within_steps.js. Everything is in one workspace for each group of W draws; `off` says where.
"use strict";

const OK = 0, STEP_UNDERFLOW = 1, TOO_MANY_STEPS = 2, NOT_FINITE = 3, UNRESOLVED = 6;
const OP_JUMP = 0, OP_RATE = 1, OP_EVENT = 2, OP_AFTER = 3;

// from cellsim.solver.step_control and step_loop, where they are explained
const START = 1.2, UNRESOLVED_BELOW = 1e3, LEAST = 1e-290, RISEN = 10, GROWTH = 0.25, RISING = 3, SHORTEST = 1e-11, LONG = 1e-9, LONGER = 3;

// Of a picture that moves: bolder, since a step that fails is taken again and every one has an error that is known. `start` is
// by how much the first step after a break is longer, `power` and `memory` are those of the control, `stretch` by how much a
// step may be longer to end at a break.
const PACE = { exact: { start: 1, power: 0.17, memory: 0.03, stretch: 1.000001 }, moving: { start: 2, power: 0.2, memory: 0, stretch: 1.4 } };

const MOVING = ["y", "u", "peak"], KEPT = ["low", "least", "grown", "status", "source", "greatest", "below"];

// Everything of W draws that moves, at its workspace.
class Group {
  constructor(machine, kernels, memory, base, parameters) {
    const { width: W, size, off, states: n } = machine;
    this.machine = machine;
    this.k = kernels;
    this.base = base;
    this.w = new Float64Array(memory.buffer, base, size);
    this.share = new Float64Array(n * W);
    this.low = new Uint8Array(n * W);
    this.least = new Float64Array(n * W);
    this.grown = new Uint8Array(n * W);
    this.flow = new Float64Array(2 * n * W);
    this.source = new Int32Array(W);
    this.status = new Int32Array(W);
    this.seen = new Float64Array(9 * machine.gaps * W);
    this.greatest = new Float64Array(machine.watched.length * W);
    this.heights = new Float64Array(8 * machine.watched.length * W);
    this.below = new Float64Array(machine.levels.length * W);
    this.steps = 0;
    this.rtol = machine.rtol;
    for (let j = 0; j < parameters.length; j++) for (let l = 0; l < W; l++) this.w[off.p + j * W + l] = parameters[j][l];
  }

  // what each step may be off: relative to the value, and to the largest value that a state has had
  allow(rtol, shares) {
    const { width: W, off, own, unseen } = this.machine, w = this.w;
    this.rtol = rtol;
    w[off.control + 1] = rtol;
    for (let i = 0; i < own * W; i++) {
      this.share[i] = shares[i];
      const peak = w[off.peak + i];
      w[off.atol + i] = peak > 0 ? Math.max(shares[i] * rtol * peak, LEAST) : unseen * rtol;
    }
  }

  // as `begin` of cellsim.solver.lanes has it, and the first lines of the loop
  begin(start, rtol, shares) {
    const { width: W, off, states: n, own, padded, clock } = this.machine, w = this.w;
    w.fill(0, off.y, off.y + padded);
    w.fill(0, off.u, off.u + padded);
    w.fill(0, off.peak, off.peak + padded);
    w.fill(1, off.atol, off.atol + padded);
    w.fill(1e300, off.atol + own * W, off.atol + n * W); // the clock has no error
    this.allow(rtol, shares);
    if (clock >= 0) w.fill(start, off.y + clock * W, off.y + (clock + 1) * W);
    this.low.fill(0);
    this.least.fill(0);
    this.grown.fill(0);
    this.status.fill(OK);
    this.greatest.fill(-Infinity);
    this.below.fill(0);
    for (let l = 0; l < W; l++) this.source[l] = l;
    this.k.prepare(this.base, this.base);
    this.k.initial(this.base, this.base);
    this.steps = 0;
  }

  // a copy of what moves, in place of one that is needed no longer, and its way back: plans share what comes before they part
  kept(into = null) {
    const { off, states: n, width: W } = this.machine, of = (each) => this.w.subarray(off[each], off[each] + n * W);
    if (!into) return { slots: MOVING.map((each) => of(each).slice()), steps: this.steps, ...Object.fromEntries(KEPT.map((each) => [each, this[each].slice()])) };
    MOVING.forEach((each, k) => into.slots[k].set(of(each)));
    KEPT.forEach((each) => into[each].set(this[each]));
    into.steps = this.steps;
    return into;
  }

  back(kept, rtol, shares) {
    const { off, width: W, fixed } = this.machine, { w, source } = this;
    MOVING.forEach((each, k) => w.set(kept.slots[k], off[each]));
    KEPT.forEach((each) => this[each].set(kept[each]));
    this.steps = kept.steps;
    this.allow(rtol, shares);
    this.k.prepare(this.base, this.base);
    for (let l = 0; l < W; l++)
      if (source[l] >= 0 && source[l] !== l) for (let i = 0; i < fixed; i++) w[off.q + i * W + l] = w[off.q + i * W + source[l]];
  }

  call(name) { this.k[name](this.base, this.base); }

  needDense() {
    if (!this.hasDense) this.k.dense(this.base, this.base);
    this.hasDense = true;
  }

  interpolate(theta, into) {
    const { states, width: W, off, padded } = this.machine, w = this.w, size = states * W;
    const y = off.y, y1 = off.y1, k1 = off.dense, k2 = k1 + padded, k3 = k2 + padded, rest = 1 - theta;
    for (let i = 0; i < size; i++) {
      const inner = w[k1 + i] + theta * (w[k2 + i] + theta * w[k3 + i]);
      w[into + i] = rest * w[y + i] + theta * (w[y1 + i] + rest * inner);
    }
  }

  // ---- step control (cellsim.solver.step_control) ----

  initialStep(span) {
    const { states, width: W, off } = this.machine, { w, rtol } = this, size = states * W;
    const y = off.y, f = off.f, atol = off.atol, ys = off.ys, y1 = off.y1;
    this.call("rhs");
    let d1 = 0;
    for (let i = 0; i < size; i++) d1 = largest(d1, Math.abs(w[f + i]) / (w[atol + i] + rtol * Math.abs(w[y + i])));
    if (!(d1 > 1e-10 && d1 < 1e300)) return span;
    const h = Math.min(1e-4 / d1, span);
    for (let i = 0; i < size; i++) {
      w[ys + i] = w[y + i] + h * w[f + i];
      w[y1 + i] = w[f + i];
    }
    this.call("rhs_at_sample");
    let d2 = 0;
    for (let i = 0; i < size; i++) d2 = largest(d2, Math.abs(w[f + i] - w[y1 + i]) / (w[atol + i] + rtol * Math.abs(w[y + i])));
    d2 /= h;
    if (!(d2 < 1e300)) return h;
    const least = Math.min(1 / d1, 1 / Math.sqrt(Math.max(d2, 1e-300)));
    return Math.min(this.pace.start * Math.max(START * rtol ** 0.2 * d1 / Math.max(d2, 1e-300), least), span);
  }

  followScales(jumped) {
    const { own, width: W, off } = this.machine, { w, rtol, share, low, least } = this;
    const size = own * W, source = jumped ? off.y : off.y1, peak = off.peak, atol = off.atol, Y = off.y, K = off.k;
    let below = false, risen = false;
    for (let i = 0; i < size; i++) {
      const value = Math.abs(w[source + i]);
      if (value > w[peak + i]) {
        w[peak + i] = value;
        if (share[i] > 0) w[atol + i] = Math.max(share[i] * rtol * value, LEAST);
      }
    }
    if (!this.following) return false;
    for (let i = 0; i < size && !below; i++) below = low[i] !== 0 || Math.abs(w[source + i]) < UNRESOLVED_BELOW * (share[i] * rtol) * w[peak + i];
    if (!below) return false;
    for (let i = 0; i < size; i++) {
      const value = Math.abs(w[source + i]);
      if (value < least[i]) least[i] = value;
      if (value < UNRESOLVED_BELOW * (share[i] * rtol) * w[peak + i]) {
        if (low[i] === 0 || jumped) {
          low[i] = 1;
          least[i] = value;
          continue;
        }
        const y = w[Y + i], first = w[K + i];
        if (value > RISEN * least[i] || first * y > GROWTH * y * y || Math.abs(first) > 1.001 * Math.abs(y)) {
          low[i] = RISING;
          risen = true;
        }
      } else if (low[i] !== 0) {
        low[i] = jumped ? 0 : RISING;
        risen ||= !jumped;
      }
    }
    return risen;
  }

  // false where no draw is left
  leaveUnresolved() {
    const { states, width: W, off, modes } = this.machine, { w, rtol, flow, low, share } = this;
    const size = states * W, n = (states - modes) * W, Y = off.y, f = off.f, ys = off.ys;
    for (let i = 0; i < size; i++) w[ys + i] = w[Y + i];
    this.call("rhs_at_sample");
    for (let i = 0; i < size; i++) {
      flow[i] = w[f + i];
      flow[size + i] = low[i] !== 0 ? 1 : 0;
    }
    for (let left = true; left; ) {
      for (let i = 0; i < size; i++) w[ys + i] = w[Y + i] * (1 + flow[size + i]);
      this.call("rhs_at_sample");
      let dropped = false, asked = false;
      for (let i = 0; i < n; i++) {
        const more = w[Y + i] > 0 ? w[f + i] - flow[i] : flow[i] - w[f + i];
        const before = flow[size + i], after = more > 0.5 * Math.abs(flow[i]) ? before : 0;
        flow[size + i] = after;
        dropped ||= after !== before;
        asked ||= after !== 0 && low[i] === RISING;
      }
      left = dropped && asked;
    }
    let some = false;
    for (let i = 0; i < n; i++) {
      if (low[i] !== RISING) continue;
      const value = Math.abs(w[Y + i]), lane = i % W;
      low[i] = value < UNRESOLVED_BELOW * share[i] * rtol * w[off.peak + i] ? 1 : 0;
      this.least[i] = value;
      if (flow[size + i] !== 0 && this.source[lane] === lane) {
        this.status[lane] = UNRESOLVED;
        this.source[lane] = -1;
        some = true;
        for (let j = lane; j < n; j += W) if (flow[size + j] !== 0) this.grown[j] = 1;
      }
    }
    return !some || this.standIn();
  }

  // draws that cannot go on are marked; false where none is left
  giveUp(code) {
    const { width: W, off } = this.machine;
    for (let l = 0; l < W; l++) {
      let bad = code === TOO_MANY_STEPS;
      for (let i = l; i < 8; i += W) bad ||= !(this.w[off.error + i] <= 1);
      if (bad && this.source[l] === l) {
        this.source[l] = -1;
        this.status[l] = code;
      }
    }
    return this.standIn();
  }

  // draws whose states are no finite numbers are given up; false where none is left
  allFinite() {
    const { width: W, off, states: n } = this.machine, { w, source } = this, Y = off.y;
    for (let i = 0; i < n * W; i++) {
      if (Math.abs(w[Y + i]) < 1e300 || source[i % W] !== i % W) continue;
      w.fill(0, off.error, off.error + 8);
      for (let j = 0; j < n * W; j++) if (!(Math.abs(w[Y + j]) < 1e300)) w[off.error + (j % W)] = NaN;
      if (!this.giveUp(NOT_FINITE)) return false;
    }
    return true;
  }

  standIn() {
    const { width: W, off, states, fixed } = this.machine, { w, source } = this;
    let healthy = -1;
    for (let l = 0; l < W; l++) if (source[l] === l) healthy = l;
    if (healthy < 0) return false;
    for (let l = 0; l < W; l++) {
      if (source[l] >= 0 && source[source[l]] === source[l]) continue;
      source[l] = healthy;
      for (const slot of [off.y, off.u, off.atol, off.peak])
        for (let i = 0; i < states; i++) w[slot + i * W + l] = w[slot + i * W + healthy];
      for (let i = 0; i < fixed; i++) w[off.q + i * W + l] = w[off.q + i * W + healthy];
    }
    return true;
  }

  // ---- the loop (cellsim.solver.step_loop.run_group) ----

  // Carry the draws of this group through a table of breaks, from break `first` on. `sampled(s)` is told when the states
  // of sample s stand in slot ys; `atBreak(b)` before anything happens at break b. Without `watch`, for a
  // picture that moves, neither what is watched is followed nor what an absolute tolerance does not resolve.
  run(table, first, times, pointer, watch, sampled, atBreak) {
    const { width: W, off, states: n, clock, middle, gaps, modes, watched, maxSteps } = this.machine;
    const { w, k, base } = this, size = n * W, Y = off.y, Y1 = off.y1, control = off.control;
    const { breaks, middles, operations } = table, count = breaks.length, watching = watch && watched.length > 0;
    this.following = watch;
    const pace = (this.pace = watch ? PACE.exact : PACE.moving);
    let resolved = 0;
    for (let b = first; b < count; b++) {
      atBreak(b, pointer);
      let t = breaks[b];
      if (clock >= 0) w.fill(t, Y + clock * W, Y + (clock + 1) * W);
      if (middle >= 0) w.fill(middles[b], Y + middle * W, Y + (middle + 1) * W);
      if (modes) this.renewModes();
      const events = [], afterwards = [];
      for (const each of operations[b]) {
        if (each.kind === OP_EVENT) events.push(each);
        else if (each.kind === OP_AFTER) afterwards.push(each);
        else {
          const slot = (each.kind === OP_JUMP ? Y : off.u) + each.index * W;
          for (let l = 0; l < W; l++) w[slot + l] += each.amount;
        }
      }
      if (modes) this.renewModes();
      if (events.length) {
        this.fire(events);
        if (modes) this.renewModes();
      }
      if (!this.allFinite()) return;
      for (; pointer < times.length && times[pointer] <= t; pointer++) {
        w.copyWithin(off.ys, Y, Y + size);
        sampled(pointer);
      }
      if (b === count - 1) {
        if (watching && t >= this.machine.since) {
          w.copyWithin(off.ys, Y, Y + size);
          this.readWatched(0);
        }
        return;
      }
      if (afterwards.length) {
        if (watching && t >= this.machine.since) {
          w.copyWithin(off.ys, Y, Y + size);
          this.readWatched(0);
        }
        this.fire(afterwards);
        if (modes) this.renewModes();
        if (!this.allFinite()) return;
      }
      const end = breaks[b + 1];
      this.followScales(true);
      let h = this.initialStep(end - t), fresh = true, grown = true, oldError = 1e-4;
      while (t < end) {
        const left = end - t, last = h * (grown ? pace.stretch : 1.000001) >= left;
        if (last) h = left;
        else if (2 * h > left) h = 0.5 * left;
        if (this.steps >= maxSteps) {
          this.giveUp(TOO_MANY_STEPS);
          return;
        }
        if (fresh) k.jac(base, base);
        fresh = false;
        w[control] = h;
        k.lu(base, base);
        k.step(base, base);
        this.steps++;
        let error = 0;
        for (let i = 0; i < 8; i++) {
          const e = w[off.error + i];
          if (!(e <= error)) error = e === e ? e : Infinity;
        }
        if (!(error <= 1)) {
          grown = false;
          h *= error < 1e300 ? Math.max(0.15, 0.9 * error ** -0.2) : 0.15;
          if (modes && error >= 1e300 && h < SHORTEST * Math.max(Math.abs(t), end) && this.leaveBranch(SHORTEST * (end - t)) >= 0) {
            fresh = true;
            h = this.initialStep(left);
          } else if (h <= 4e-16 * Math.abs(t) || h < 1e-290) {
            if (!this.giveUp(error < 1e300 ? STEP_UNDERFLOW : NOT_FINITE)) return;
            fresh = true;
            h = this.initialStep(left);
          }
          continue;
        }
        this.hasDense = false;
        if (gaps) {
          this.needDense();
          const turned = this.turnedWithin(h > LONG * Math.max(Math.abs(t), Math.abs(end)), h > LONGER * resolved);
          if (turned > 0) {
            grown = false;
            h *= turned;
            continue;
          }
        }
        resolved = h;
        let now = last ? end : t + h, hit = -1, hitTheta = 1;
        if (modes) [hit, hitTheta] = this.hitWithin();
        if (hit >= 0) now = t + hitTheta * h;
        if (watching) {
          this.needDense();
          this.followWatched(t, h, hitTheta);
        }
        for (; pointer < times.length; pointer++) {
          const s = times[pointer];
          if (!(s < now || (s <= now && now < end && hit < 0))) break;
          this.needDense();
          this.interpolate((s - t) / h, off.ys);
          if (clock >= 0) w.fill(s, off.ys + clock * W, off.ys + (clock + 1) * W);
          sampled(pointer);
        }
        if (hit >= 0) {
          this.interpolate(hitTheta, off.ys);
          w.copyWithin(Y1, off.ys, off.ys + size);
        }
        const risen = this.followScales(false);
        w.copyWithin(Y, Y1, Y1 + size);
        fresh = true;
        t = now;
        if (risen && !this.leaveUnresolved()) return;
        if (hit >= 0) {
          this.renewModes();
          if (t < end) {
            h = this.initialStep(end - t);
            oldError = 1e-4;
          }
          for (; pointer < times.length && times[pointer] <= t && t < end; pointer++) {
            w.copyWithin(off.ys, Y, Y + size);
            sampled(pointer);
          }
          continue;
        }
        error = Math.max(error, 1e-6);
        let factor = Math.min(6, Math.max(0.2, 0.95 * error ** -pace.power * oldError ** pace.memory));
        if (!grown) factor = Math.min(factor, 1);
        grown = true;
        oldError = error;
        h *= factor;
      }
    }
  }
}

const largest = (before, value) => (value > before || value !== value ? value : before);
