// A plan as rows of equal doses at equal intervals, and how far it lies from what the patient was given.
"use strict";

// The doses of a plan, day by day: rows of { product, start, interval, number, amount, hours, stop }, then what every plan
// keeps of the products that it does not give itself (cellsim.predictions.plans.on_background).
function dosesOf(rows, model) {
  const own = new Set(rows.filter((row) => row.number > 0).map((row) => row.product)), doses = [];
  for (const { product, start, interval, number, amount, hours, stop } of rows)
    for (let k = 0; k < number; k++) {
      const day = start + k * interval;
      if (day <= stop && amount > 0) doses.push({ day, product, amount, duration: hours / 24 });
    }
  doses.push(...model.background.filter((each) => !own.has(each.product)));
  return inOrder(doses);
}

// as a schedule keeps them, so that sums at one instant are taken in one order
const inOrder = (doses) => [...doses].sort((one, other) => one.day - other.day || (one.product < other.product ? -1 : one.product > other.product ? 1 : 0)
  || one.amount - other.amount || one.duration - other.duration);

// Doses in the unit of the state that they enter; those after the last day have no effect.
function resolved(doses, model) {
  const of = new Map(model.products.map((each) => [each.name, each]));
  return doses.map(({ day, product, amount, duration }) => ({ day, state: of.get(product).state, amount: amount / of.get(product).scale, duration }));
}

// Rows that give what was given: runs of equal doses at equal steps.
function rowsOf(doses, model) {
  const rows = [];
  for (const { day, product, amount, duration } of doses) {
    const row = rows[rows.length - 1], step = row ? day - row.last : 0;
    const alike = row && row.product === product && row.amount === amount && row.hours === duration * 24 && step > 0;
    if (alike && (row.number === 1 || Math.abs(step - row.interval) < 1e-8 * Math.max(1, day))) {
      row.interval = row.number === 1 ? step : row.interval;
      row.number += 1;
      row.last = day;
    } else rows.push({ product, start: day, interval: 28, number: 1, amount, hours: duration * 24, stop: model.until, last: day });
  }
  return rows.map(({ last: _, ...row }) => row);
}

// What of a plan lies beyond what was given, in words; empty where nothing does.
function beyondFamiliar(doses, model) {
  const { familiar } = model, said = [], of = new Map(model.products.map((each) => [each.name, each]));
  const slack = 1 + 1e-9, products = [...new Set(doses.map((each) => each.product))];
  for (const name of products) {
    const own = doses.filter((each) => each.product === name), known = familiar.amounts[name], { unit, label } = of.get(name);
    if (!known) {
      said.push(`${label} was never given`);
      continue;
    }
    const largest = Math.max(...own.map((each) => each.amount)), smallest = Math.min(...own.map((each) => each.amount));
    const total = own.reduce((sum, each) => sum + each.amount, 0);
    if (largest > known[1] * slack) said.push(`a dose of ${amountText(largest, unit)} of ${name}, at most ${amountText(known[1], unit)} was given`);
    if (smallest * slack < known[0]) said.push(`a dose of ${amountText(smallest, unit)} of ${name}, at least ${amountText(known[0], unit)} was given`);
    if (total > familiar.totals[name] * slack) said.push(`${amountText(total, unit)} of ${name} in all, ${amountText(familiar.totals[name], unit)} were given in one course`);
  }
  const days = [...new Set(doses.map((each) => each.day))].sort((one, other) => one - other);
  const gaps = days.slice(1).map((day, k) => day - days[k]), shortest = Math.min(...gaps);
  if (gaps.length && (familiar.gap === null || shortest * slack < familiar.gap))
    said.push(`${short(shortest)} days between doses, ${familiar.gap === null ? "one dose alone" : `at least ${short(familiar.gap)}`} was given`);
  const span = days.length ? Math.max(...doses.map((each) => each.day + each.duration)) - days[0] : 0;
  if (span > familiar.span * slack) said.push(`doses over ${short(span)} days, at most ${short(familiar.span)} were given`);
  if (Math.max(0, ...doses.map((each) => each.duration)) > familiar.durations * slack) said.push("slower infusions than were given");
  return said;
}

// Numbers as they are spoken: three digits, powers of ten only when needed.
function short(value) {
  if (value !== value || value === null) return "-";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(3)));
  const [digits, power] = value.toExponential(2).split("e");
  return `${Number(digits)}e${Number(power)}`;
}

const amountText = (amount, unit) => `${short(amount)} ${unit}`.trim();

// What a plan gives in all, product by product.
function totalText(doses, model) {
  const of = new Map(model.products.map((each) => [each.name, each])), sums = new Map();
  for (const { product, amount } of doses) {
    const [count, sum] = sums.get(product) ?? [0, 0];
    sums.set(product, [count + 1, sum + amount]);
  }
  if (!sums.size) return "No doses.";
  return [...sums].map(([name, [count, sum]]) => `${name}: ${count} dose${count === 1 ? "" : "s"}, ${amountText(sum, of.get(name).unit)}`).join("; ") + ".";
}
