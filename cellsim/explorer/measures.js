// What is read from draws under a plan: every measure as cellsim.predictions.measures has it, its summary, and what the
// data made of it as cellsim.predictions.sweeps says it.
"use strict";

const SAME = 1e-6, SAME_CHANCE = 0.1; // as in cellsim.predictions.sweeps
const LEAST_CONTRACTION = 0.2, LARGEST_QUIET_SHIFT = 0.5; // as in cellsim.results

// The distribution function of the normal distribution: its series, and its continued fraction in the tails.
function normalCdf(z) {
  if (z !== z) return NaN;
  if (Math.abs(z) > 38) return z > 0 ? 1 : 0;
  const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
  if (Math.abs(z) < 3) {
    let term = z, sum = z;
    for (let k = 3; Math.abs(term) > 1e-18; k += 2) sum += term *= (z * z) / k;
    return 0.5 + density * sum;
  }
  const size = Math.abs(z);
  let under = size;
  for (let k = 80; k > 0; k--) under = size + k / under;
  return z > 0 ? 1 - density / under : density / under;
}

function normalQuantile(p) {
  let low = -39, high = 39;
  for (let round = 0; round < 70; round++) {
    const middle = 0.5 * (low + high);
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return 0.5 * (low + high);
}

// Quantiles of sorted numbers, as numpy takes them.
function quantile(sorted, share) {
  const at = share * (sorted.length - 1), below = Math.floor(at), rest = at - below;
  return rest ? sorted[below] + rest * (sorted[below + 1] - sorted[below]) : sorted[below];
}

const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
const variance = (numbers) => {
  const middle = mean(numbers);
  return mean(numbers.map((each) => (each - middle) ** 2));
};

// The outputs that a thing asked is read from.
const readBy = (asked) => [asked.output, asked.spread, ...(asked.members ?? []).map((each) => each.output)].filter((each) => typeof each === "string");

// One number for each draw of a result and each thing asked, of all or of those in `wanted`; NaN where the draw could not be simulated.
function numbersOf(result, model, wanted = null) {
  const { times, count } = result, first = times.indexOf(0);
  const read = (output, day) => {
    const s = day === null ? times.length - 1 : times.indexOf(day), begin = (model.place[output] * times.length + s) * count;
    return result.values.subarray(begin, begin + count);
  };
  const low = (each) => each.low ?? -Infinity, high = (each) => each.high ?? Infinity;
  const beyond = (each, value, edge, spread) => {
    if (!Number.isFinite(edge)) return edge;
    if (!each.log) return (edge - value) / Math.hypot(spread, each.shared * value);
    return edge <= 0 ? -Infinity : (Math.log(edge) - Math.log(value)) / Math.hypot(spread, each.shared);
  };
  return model.asked.map((asked, k) => wanted && !wanted.has(k) ? null : Float64Array.from({ length: count }, (_, d) => {
    if (!result.fine[d]) return NaN;
    const value = asked.output === undefined ? NaN : read(asked.output, asked.day)[d];
    switch (asked.how) {
      case "value": return value;
      case "inside": return value >= low(asked) && value <= high(asked) ? 1 : 0;
      case "sampled": {
        const spread = typeof asked.spread === "string" ? read(asked.spread, asked.day)[d] : asked.spread ?? NaN;
        return normalCdf(beyond(asked, value, high(asked), spread)) - normalCdf(beyond(asked, value, low(asked), spread));
      }
      case "all inside":
        return asked.members.every((each) => {
          const own = read(each.output, asked.day)[d];
          return own >= low(each) && own <= high(each);
        }) ? 1 : 0;
      case "area": return value - result.values[(model.place[asked.output] * times.length + first) * count + d];
      case "below": return result.below[asked.n][d];
      default: return result.greatest[asked.n][d];
    }
  }));
}

const finite = (numbers) => numbers.filter((each) => each === each);

// Median and 90 % interval; of a chance its mean alone.
function summary(numbers, chance) {
  const known = finite(numbers).sort();
  if (!known.length) return { estimate: NaN, low: NaN, high: NaN };
  if (chance) return { estimate: mean(known), low: NaN, high: NaN };
  return { estimate: quantile(known, 0.5), low: quantile(known, 0.05), high: quantile(known, 0.95) };
}

// Draw by draw, zero where the solver cannot tell them apart.
function apart(one, other) {
  return one.map((each, d) => {
    const gap = each - other[d];
    return Math.abs(gap) <= SAME * Math.max(Math.abs(each), Math.abs(other[d])) ? 0 : gap;
  });
}

// Share of draws above zero, ties count half.
function above(gaps) {
  const known = finite(gaps);
  return known.length ? mean(known.map((each) => (each > 0 ? 1 : each === 0 ? 0.5 : 0))) : NaN;
}

const normalScores = new Map();

// normal scores of the places of draws among others; equal ones share theirs
function scores(numbers, sorted) {
  const n = sorted.length;
  if (!normalScores.has(n)) normalScores.set(n, Float64Array.from({ length: 2 * n + 1 }, (_, j) => normalQuantile((0.5 * j + 0.5) / (n + 1))));
  const table = normalScores.get(n), count = (test) => {
    let from = 0, to = n;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (test(sorted[middle])) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  return numbers.map((each) => table[count((other) => other < each) + count((other) => other <= each)]);
}

// What the data made of a number: data-driven, prior-driven, or moved and not narrowed; nothing of one that cannot vary.
function verdict(numbers, priorNumbers, chance) {
  const posterior = finite(numbers), prior = finite(priorNumbers).sort();
  if (!posterior.length || !prior.length) return "";
  if (chance) return Math.abs(mean(posterior) - mean(prior)) >= SAME_CHANCE ? MOVED : PRIOR_DRIVEN;
  const largestSize = prior.reduce((size, each) => Math.max(size, Math.abs(each)), 0);
  if (prior[prior.length - 1] - prior[0] <= SAME * largestSize) return "";
  const before = scores(prior, prior), after = scores(posterior, prior), shift = mean(after) - mean(before);
  let run = 1, longest = 1;
  for (let k = 1; k < prior.length; k++) longest = Math.max(longest, (run = prior[k] === prior[k - 1] ? run + 1 : 1));
  const contraction = longest > 0.5 * prior.length ? 0 : 1 - variance(after) / variance(before);
  if (contraction >= LEAST_CONTRACTION) return DATA_DRIVEN;
  return Math.abs(shift) < LARGEST_QUIET_SHIFT ? PRIOR_DRIVEN : MOVED;
}

const DATA_DRIVEN = "data-driven", PRIOR_DRIVEN = "prior-driven", MOVED = "moved, not narrowed";

// Whether a direction is the prior's, by the chance that the first is above the second.
function direction(posterior, prior) {
  if (posterior !== posterior || prior !== prior) return "";
  if (Math.abs(posterior - prior) < SAME_CHANCE) return "as the prior says";
  if ((posterior - 0.5) * (prior - 0.5) <= 0) return "not as the prior says";
  return Math.abs(posterior - 0.5) > Math.abs(prior - 0.5) ? "as the prior says but surer" : "as the prior says but less sure";
}
