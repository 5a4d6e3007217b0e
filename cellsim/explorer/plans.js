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

// Every respect in which a plan lies beyond what was given, as cellsim.predictions.trust_region has it; empty where none does.
function beyondGiven(doses, model) {
  const { limits, last } = model.familiar, found = [], of = new Map(model.products.map((each) => [each.name, each]));
  const more = (value, limit) => value > limit * (1 + 1e-9) + 1e-9;
  const add = (what, product, value, limit, words) => found.push({ what, product, value, limit, words });
  for (const name of new Set(doses.map((each) => each.product))) {
    const days = new Map(), known = limits[name], text = (amount) => amountText(amount, of.get(name).unit);
    for (const { product, day, amount } of doses) if (product === name) days.set(day, (days.get(day) ?? 0) + amount);
    const wanted = [...days.keys()].sort((one, other) => one - other), amounts = [...days.values()];
    const given = amounts.reduce((sum, each) => sum + each, 0), gaps = wanted.slice(1).map((day, k) => day - wanted[k]);
    if (!known) {
      add("product", name, given, NaN, `${name} was never given`);
      continue;
    }
    const most = Math.max(...amounts), total = known.before + given, span = wanted[wanted.length - 1] - wanted[0];
    if (more(most, known.dose)) add("dose", name, most, known.dose, `a dose of ${text(most)} of ${name} (most given: ${text(known.dose)})`);
    if (more(total, known.total)) add("total", name, total, known.total, `${text(total)} of ${name} in all (given: ${text(known.total)})`);
    for (const [gap, limit, beyond, which] of [[Math.min(...gaps), known.least_gap, more(known.least_gap, Math.min(...gaps)), "least"], [Math.max(...gaps), known.most_gap, more(Math.max(...gaps), known.most_gap), "most"]])
      if (gaps.length && beyond) add("gap", name, gap, limit, `${short(gap)} days between doses of ${name} (${which}: ${short(limit)})`);
    if (more(span, known.course)) add("duration", name, span, known.course, `${short(span)} days of ${name} from first to last dose (given: ${short(known.course)})`);
  }
  if (more(model.until, last)) add("last day", "", model.until, last, `looked at until day ${short(model.until)} (last visit or dose: day ${short(last)})`);
  return found;
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
