// Draws of parameters under a plan: doses become breaks (cellsim.solver.breakpoints), groups of W draws are carried through
// them by step_loop.js, and what a plan has in common with the one before it is not computed again.
"use strict";

const SMALLER_SHARES = [1e-12, 1e-30, 1e-80, 1e-200]; // as in cellsim.solver.integration

// How closely steps are taken: at rest as Python does; while something is moved, to the width of a line.
const tolerances = (machine) => ({
  exact: { rtol: machine.rtol, share: machine.peakShare },
  moving: { rtol: 2e-2, share: 0.1 },
});

// Doses as { day, state, amount, duration } in the unit of the state, as operations at breaks; `also` are breaks of no dose.
function breakTable(doses, turned, start, end, also = []) {
  const operations = [];
  for (const { day, state, amount, duration } of doses) {
    const off = day + duration, length = off - day;
    if (length > 0) {
      operations.push({ time: day, kind: OP_RATE, index: state, amount: amount / length });
      operations.push({ time: off, kind: OP_RATE, index: state, amount: -amount / length });
    } else operations.push({ time: day, kind: OP_JUMP, index: state, amount });
  }
  for (const { day, event, after, lanes } of turned.firings) operations.push({ time: day, kind: after ? OP_AFTER : OP_EVENT, index: event, lanes });
  const reached = operations.filter((each) => each.time <= end);
  reached.sort((one, other) => one.time - other.time || one.kind - other.kind || one.index - other.index);
  const days = [start, end, ...also, ...turned.days.filter((day) => day <= end), ...reached.map((each) => each.time)];
  const breaks = [...new Set(days)].sort((one, other) => one - other);
  const place = new Map(breaks.map((day, b) => [day, b])), at = breaks.map(() => []);
  for (const each of reached) at[place.get(each.time)].push(each);
  const middles = breaks.map((day, b) => (b + 1 < breaks.length ? 0.5 * (day + breaks[b + 1]) : nextUp(day)));
  return { breaks, middles, operations: at };
}

// the next double above, or with -1 below
function nextUp(value, direction = 1) {
  if (value === 0) return direction * Number.MIN_VALUE;
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0] += BigInt(value > 0 ? direction : -direction);
  return new Float64Array(bits.buffer)[0];
}

// The first break at which two tables are no longer the same, what happens at it included.
function parting(one, other) {
  const alike = (a, b) => a.time === b.time && a.kind === b.kind && a.index === b.index && a.amount === b.amount;
  let b = 0;
  for (; b + 1 < one.breaks.length && b + 1 < other.breaks.length; b++) {
    const here = one.operations[b], there = other.operations[b];
    if (one.breaks[b] !== other.breaks[b] || one.breaks[b + 1] !== other.breaks[b + 1]) break;
    if (here.length !== there.length || !here.every((each, k) => alike(each, there[k]))) break;
  }
  return b;
}

class Draws {
  // `vectors`: parameters of all draws, row by row; `turned`: of each draw, what time alone turns
  constructor(model, kernels, memory, address, vectors, turned) {
    const { machine } = model, W = machine.width, count = vectors.length / machine.parameters;
    this.model = model;
    this.count = count;
    this.vectors = vectors;
    this.turned = turned;
    this.groups = [];
    for (let first = 0; first < count; first += W) {
      const rows = Array.from({ length: W }, (_, l) => Math.min(first + l, count - 1));
      const parameters = Array.from({ length: machine.parameters }, (_, j) => rows.map((d) => vectors[d * machine.parameters + j]));
      const group = new Group(machine, kernels, memory, address + this.groups.length * machine.size * 8, parameters);
      const both = together(rows.map((d) => turned[d]));
      this.groups.push({ group, rows, turned: both, turnedText: JSON.stringify(both), runs: {}, shares: null, history: null });
    }
  }

  static bytes(machine, count) { return Math.ceil(count / machine.width) * machine.size * 8; }

  // An empty result for a plan, to be filled group by group; `outputs` are those that are read.
  result(plan, how, outputs = null) {
    const { model, count } = this, { machine } = model, times = sampleTimes(plan, model, how);
    const read = outputs ?? Array.from({ length: machine.outputs }, (_, o) => o), size = times.length * count;
    const values = new Float64Array(machine.outputs * size);
    for (const o of read) values.fill(NaN, o * size, (o + 1) * size); // what is not read is never touched
    return { plan, how, times, count, read, values, done: 0, helped: 0, before: null, tables: new Map(), fine: new Uint8Array(count),
      greatest: machine.watched.slice(0, machine.peaks).map(() => new Float64Array(count)), below: machine.levels.map(() => new Float64Array(count)) };
  }

  // What happens when in a group: the same for all in whose draws time turns the same. What moves is kept on day 0, where plans begin.
  table({ tables, plan, how }, { turned, turnedText }) {
    const { history, start, until } = this.model;
    if (!tables.has(turnedText)) tables.set(turnedText, breakTable([...history, ...plan], turned, start, until, how === "exact" || start > 0 ? [] : [0]));
    return tables.get(turnedText);
  }

  // Carry one group through the plan of a result.
  fill(result, place) {
    const each = this.groups[place], { machine } = this.model, W = machine.width;
    const table = this.table(result, each), wanted = tolerances(machine)[result.how];
    each.shares ??= new Float64Array(machine.states * W).fill(machine.peakShare);
    this.carry(each, table, result, wanted);
    for (let again = 0; again < SMALLER_SHARES.length && each.group.status.includes(UNRESOLVED); again++) {
      for (let i = 0; i < each.shares.length; i++)
        if (each.group.grown[i]) each.shares[i] = SMALLER_SHARES.find((share) => share < each.shares[i]) ?? each.shares[i];
      each.history = null;
      each.runs = {};
      this.forget(result, each.rows);
      this.carry(each, table, result, wanted);
    }
    each.rows.forEach((d, l) => {
      result.fine[d] = each.group.status[l] === OK ? 1 : 0;
      if (result.how === "exact") {
        result.greatest.forEach((column, k) => (column[d] = each.group.greatest[k * W + l]));
        result.below.forEach((column, k) => (column[d] = each.group.below[k * W + l]));
      } else this.fromSamples(result, d);
    });
    result.done = Math.max(result.done, each.rows[W - 1] + 1);
  }

  forget({ values, times, count }, rows) {
    for (let o = 0; o < this.model.machine.outputs; o++) for (let s = 0; s < times.length; s++) for (const d of rows) values[(o * times.length + s) * count + d] = NaN;
  }

  // greatest values and days below a level by straight lines between samples: enough for a picture that moves
  fromSamples({ times, count, values, greatest, below }, d) {
    const { watched, levels } = this.model.machine, value = (k, s) => values[(watched[k] * times.length + s) * count + d];
    greatest.forEach((column, k) => (column[d] = times.reduce((top, _, s) => Math.max(top, value(k, s)), -Infinity)));
    levels.forEach(({ k, level }, n) => {
      below[n][d] = 0;
      for (let s = 0; s + 1 < times.length; s++) {
        const one = value(k, s) - level, other = value(k, s + 1) - level, share = one < 0 === other < 0 ? +(one < 0) : Math.min(one, other) / (Math.min(one, other) - Math.max(one, other));
        below[n][d] += share * (times[s + 1] - times[s]);
      }
    });
  }

  // Samples that a plan has in common with the one before it. They are those of all draws as a rule, and are copied whole with the first group.
  copied(result, before, pointer, rows) {
    const { values, times, count, read } = result, from = before.times.length;
    if (result.before === null && result.done === 0) {
      for (const o of read) values.set(before.values.subarray(o * from * count, (o * from + pointer) * count), o * times.length * count);
      result.before = { values: before.values, pointer };
    } else if (result.before?.values !== before.values || result.before.pointer !== pointer) {
      for (const o of read) for (let s = 0; s < pointer; s++) for (const d of rows)
        values[(o * times.length + s) * count + d] = before.values[(o * from + s) * count + d];
    }
  }

  carry(each, table, result, { rtol, share }) {
    const { machine } = this.model, { group, rows } = each, W = machine.width, { times, values, count, how, read } = result;
    const before = each.runs[how], run = { table, times, values, read, marks: [] }, { w } = group, { g } = machine.off;
    const shares = how === "exact" ? each.shares : each.shares.map((own) => (own < machine.peakShare ? own : share));
    let first = 0, pointer = 0, spare = before ? before.marks : [];
    const common = before ? parting(before.table, table) : 0, mark = before && before.marks.findLast((m) => m.b <= common);
    const known = mark && read.every((o) => before.read.includes(o)) && times.slice(0, mark.pointer).every((day, s) => day === before.times[s]);
    if (known) {
      ({ b: first, pointer } = mark);
      run.marks = before.marks.filter((m) => m.b <= first);
      spare = before.marks.slice(run.marks.length);
      group.back(mark.kept, rtol, shares);
      this.copied(result, before, pointer, rows);
    } else if (each.history && parting(each.history.table, table) >= each.history.b) {
      first = each.history.b;
      group.back(each.history.kept, rtol, shares);
    } else group.begin(this.model.start, rtol, shares);
    each.runs[how] = run;
    group.run(table, first, times, pointer, how === "exact", (s) => {
      group.k.observe(group.base, group.base);
      for (let l = 0; l < W; l++) {
        if (group.source[l] !== l) continue;
        for (let n = 0, at = s * count + rows[l]; n < read.length; n++) values[read[n] * times.length * count + at] = w[g + read[n] * W + l];
      }
    }, (b, at) => {
      // the last break of the history, from which every plan goes on, is kept as Python's tolerance left it
      const last = table.breaks[b] < 0 && table.breaks[b + 1] >= 0, within = run.marks.length && run.marks[run.marks.length - 1].b >= b;
      if ((table.breaks[b] < 0 && !last) || within) return;
      run.marks.push({ b, pointer: at, kept: group.kept(spare.pop()?.kept) });
      if (last && how === "exact") each.history = { table, b, pointer: at, kept: group.kept() };
    });
  }
}

// Draws of the posterior and the prior, by these names, at their places in one memory.
async function drawsIn(model, module, vectors, turned) {
  const { machine } = model, first = 1024, out = {}, names = Object.keys(vectors);
  const sizes = names.map((name) => Draws.bytes(machine, vectors[name].length / machine.parameters));
  const memory = new WebAssembly.Memory({ initial: Math.ceil((first + sizes[0] + sizes[1]) / 65536) + 1 });
  const env = { __linear_memory: memory };
  for (const name of machine.imports) env[name] = Math[name];
  const kernels = (await WebAssembly.instantiate(module, { env })).exports;
  names.forEach((name, k) => { out[name] = new Draws(model, kernels, memory, first + (k ? sizes[0] : 0), vectors[name], turned[name]); });
  return out;
}

const pause = () => new Promise((go) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = go;
  channel.port2.postMessage(null);
});

// what time alone turns in any of the draws of a group: days of all, events of each
function together(turned) {
  const firings = new Map();
  turned.forEach((each, l) => each.firings.forEach(([day, event, after]) => {
    const key = `${day} ${event} ${after}`;
    if (!firings.has(key)) firings.set(key, { day, event, after, lanes: turned.map(() => false) });
    firings.get(key).lanes[l] = true;
  }));
  return { days: turned.flatMap((each) => each.days), firings: [...firings.values()] };
}

// Days at which everything is read: a grid, and both sides of every dose with the day after it.
function sampleTimes(plan, { until, grid }, how) {
  const step = (until / grid) * (how === "exact" ? 1 : 2), days = [0, until];
  for (let k = 1; k * step < until; k++) days.push(k * step);
  for (const { day, duration } of plan)
    for (const each of duration > 0 ? [day, day + duration] : [day]) days.push(nextUp(each, -1), each, each + 0.25, each + 1);
  return [...new Set(days.filter((day) => day >= 0 && day <= until))].sort((one, other) => one - other);
}
