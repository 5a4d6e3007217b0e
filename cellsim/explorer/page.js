// What a person sees and moves. While something is moved the posterior is drawn at once, to the width of a line; at rest
// posterior and prior are computed as Python does.
"use strict";

const $ = (id) => document.getElementById(id);
const LONGEST_FRAME = 50, SLICE = 24; // milliseconds: of a picture while something is moved, for which fewer draws are computed, and between pauses at rest

const bytesOf = (id) => Uint8Array.from(atob($(id).textContent), (each) => each.charCodeAt(0));

async function unpacked(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The model, its kernels and its draws, at their places in one memory.
async function opened() {
  if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") throw new Error("it is too old, or WebAssembly is off");
  const model = JSON.parse(new TextDecoder().decode(await unpacked("model"))), { machine, draws, varying, fixed } = model;
  const module = await WebAssembly.compile(await unpacked("kernels"));
  const packed = new Float64Array(bytesOf("vectors").buffer), vectors = draws.map((count) => new Float64Array(count * machine.parameters));
  let at = 0;
  vectors.forEach((all, k) => {
    for (let d = 0; d < draws[k]; d++) {
      all.set(fixed, d * machine.parameters);
      for (const j of varying) all[d * machine.parameters + j] = packed[at++];
    }
  });
  const [posterior, prior] = vectors, [turned, before] = model.turned;
  const made = await drawsIn(model, module, { posterior, prior }, { posterior: turned, prior: before });
  return { model, module, ...made };
}

// All draws of a plan at once, by the tolerance of Python.
function solved(draws, doses) {
  const result = draws.result(resolved(inOrder(doses), draws.model), "exact");
  for (let place = 0; place < draws.groups.length; place++) draws.fill(result, place);
  return result;
}

class Page {
  constructor(content) {
    const { model, posterior, prior } = content;
    Object.assign(this, { model, posterior, prior, helpers: new Helpers(content) });
    this.rows = rowsOf(model.given, model);
    this.chosen = 0;
    this.turn = 0;
    this.drawing = 0; // milliseconds that the last picture took to be drawn
    this.given = null;
    this.latest = { posterior: null, prior: null };
    this.figures = [];
    this.ranked = new Set(model.outcomes.map((each) => each.asked));
    this.inputs();
    this.panels();
    $("add").onclick = () => {
      this.rows.push({ ...(this.rows[this.chosen] ?? this.newRow()) });
      this.chosen = this.rows.length - 1;
      this.renew();
    };
    $("given").onclick = () => {
      this.rows = rowsOf(model.given, model);
      this.chosen = 0;
      this.renew();
    };
    $("nothing").onclick = () => {
      this.rows = [];
      this.chosen = 0;
      this.renew();
    };
  }

  newRow() {
    const product = this.model.products[0], known = this.model.familiar.limits[product.name];
    return { product: product.name, start: 0, interval: 28, number: 1, amount: known ? known.dose : 1, hours: 0, stop: this.model.until };
  }

  // ---- the plan ----

  fields() {
    const { until, products, familiar } = this.model, row = this.rows[this.chosen], known = familiar.limits[row?.product];
    const all = Object.values(familiar.limits), own = known ? [known.least, known.dose] : all.length ? [Math.min(...all.map((each) => each.least)), Math.max(...all.map((each) => each.dose))] : [1, 1];
    const unit = products.find((each) => each.name === row?.product)?.unit ?? "";
    return [
      { key: "start", head: "start (day)", min: 0, max: until, step: 1 },
      { key: "interval", head: "interval (days)", min: 1, max: 84, step: 1, least: 0.01, most: 36500 },
      { key: "number", head: "number", min: 0, max: 40, step: 1, most: 1000 },
      { key: "amount", head: `amount (${unit})`, min: Math.log10(own[0] / 10), max: Math.log10(own[1] * 10), step: 0.01, log: true, least: 0 },
      { key: "hours", head: "over (h)", min: 0, max: 24, step: 0.5, table: true, least: 0, most: 24 * 365 },
      { key: "stop", head: "stop (day)", min: 0, max: until, step: 1 },
    ];
  }

  inputs() {
    const heads = $("row-heads"), body = $("rows"), sliders = $("sliders");
    heads.replaceChildren(element("tr", {}, ["", "product", "start (day)", "interval (days)", "number", "amount", "over (h)", "stop (day)", ""].map((each) => element("th", { scope: "col" }, [each]))));
    body.replaceChildren(...this.rows.map((row, r) => {
      const cells = this.fields().map(({ key, head, least = 0, most = null, min, max, log }) => {
        const input = element("input", { type: "number", step: "any", min: least, value: typedText(row[key]), "aria-label": `${log ? "amount" : head} of row ${r + 1}`, className: key });
        if (key === "start" || key === "stop") input.max = max;
        if (most !== null) input.max = most;
        if (key === "number") input.step = 1;
        input.oninput = () => this.typed(r, key, input);
        return element("td", {}, [input]);
      });
      const choose = element("input", { type: "radio", name: "chosen", checked: r === this.chosen, "aria-label": `move row ${r + 1} with the sliders` });
      choose.onchange = () => {
        this.chosen = r;
        this.inputs();
        $("rows").children[r].querySelector("input").focus();
      };
      const drop = element("button", { type: "button", "aria-label": `remove row ${r + 1}` }, ["\u2715"]);
      drop.onclick = () => {
        this.rows.splice(r, 1);
        this.chosen = Math.max(0, Math.min(this.chosen, this.rows.length - 1));
        this.renew();
      };
      const line = element("tr", { className: r === this.chosen ? "chosen" : "" }, [
        element("td", {}, [choose]), element("td", {}, [this.products(r, `product of row ${r + 1}`)]), ...cells, element("td", {}, [drop])]);
      return line;
    }));
    sliders.replaceChildren();
    if (!this.rows.length) return;
    sliders.append(element("label", {}, ["product ", this.products(this.chosen, null)]));
    for (const { key, head, min, max, step, log, table } of this.fields()) {
      if (table) continue;
      const value = this.rows[this.chosen][key], shown = element("strong", {}, [short(value)]);
      const input = element("input", { type: "range", min, max, step, value: log ? Math.log10(value) : value });
      const said = () => input.setAttribute("aria-valuetext", `${shown.textContent} ${head}`);
      input.oninput = () => {
        const moved = log ? Number((10 ** Number(input.value)).toPrecision(3)) : Number(input.value);
        this.rows[this.chosen][key] = moved;
        shown.textContent = short(moved);
        said();
        const cell = $("rows").children[this.chosen].querySelector(`input.${key}`);
        cell.value = typedText(moved);
        this.changed();
      };
      said();
      input.dataset.key = key;
      sliders.append(element("label", {}, [`${head}: `, shown, input]));
    }
  }

  products(r, label) {
    const select = element("select", label ? { "aria-label": label } : {}, this.model.products.map((each) =>
      element("option", { value: each.name, selected: each.name === this.rows[r].product }, [each.name])));
    select.onchange = () => {
      this.rows[r].product = select.value;
      const known = this.model.familiar.limits[select.value];
      if (known) this.rows[r].amount = known.dose;
      this.renew();
    };
    return select;
  }

  typed(r, key, input) {
    if (input.value === "" || !input.validity.valid) return;
    this.rows[r][key] = Number(input.value);
    if (r === this.chosen) {
      const slider = $("sliders").querySelector(`[data-key=${key}]`);
      if (slider) {
        slider.value = key === "amount" ? Math.log10(this.rows[r][key]) : this.rows[r][key];
        slider.previousSibling.textContent = short(this.rows[r][key]);
      }
    }
    this.changed();
  }

  renew() {
    this.inputs();
    this.changed();
  }

  // ---- computing ----

  // Both results of a plan, in slices; null where another plan has come in between.
  async atRest(doses, turn) {
    const plan = resolved(doses, this.model), found = {};
    let since = performance.now();
    for (const which of ["posterior", "prior"]) {
      const draws = this[which], result = (found[which] = draws.result(plan, "exact"));
      const own = this.helpers.begin(draws, 1);
      const others = this.helpers.fill(which, result, Infinity);
      for (let place = 0; place < draws.groups.length; place++) {
        // what the others had is left to do where one of them is gone
        if (place === own && (await others)) break;
        if (turn !== this.turn) return null;
        draws.fill(result, place);
        if (performance.now() - since < SLICE) continue;
        if (turn === 0) say(`Computing ${which}: ${result.done} of ${result.count} draws.`);
        await pause();
        since = performance.now();
        if (turn !== this.turn) return null;
      }
      result.done = result.count;
    }
    return found;
  }

  async start() {
    const doses = inOrder([...this.model.given, ...this.model.background]);
    this.given = await this.atRest(doses, 0);
    this.givenNumbers = { posterior: numbersOf(this.given.posterior, this.model), prior: numbersOf(this.given.prior, this.model) };
    this.check();
    $("computed").hidden = false;
    $("stills").hidden = true;
    this.latest = { ...this.given };
    this.words();
    this.show(true);
  }

  // what Python found for the plan as given, and what this page finds
  check() {
    const { posterior } = this.given, last = posterior.times.length - 1;
    let worst = 0;
    this.model.witness.outputs.forEach((row, d) => row.forEach((value, o) => {
      const here = posterior.values[(o * posterior.times.length + last) * posterior.count + d];
      if (value !== null) worst = Math.max(worst, Math.abs(here - value) / (Math.abs(value) + 1e-9));
    }));
    $("check").textContent = `On the last day of the plan as given this page and Python differ by ${short(worst)} of a value at most.`;
    if (!(worst < 1e-5)) {
      $("check").className = "warn";
      $("check").textContent += " That is more than their tolerance: do not use the numbers of this page.";
    }
    this.worst = worst;
  }

  words() {
    this.doses = dosesOf(this.rows, this.model);
    // a notebook that shows the page in a frame hears what the plan is
    if (window.parent !== window) window.parent.postMessage({ cellsimDoses: this.doses }, "*");
    this.beyond = beyondGiven(this.doses.filter((each) => each.day <= this.model.until), this.model);
    $("total").textContent = `In all ${totalText(this.doses, this.model)}`;
    $("beyond").hidden = !this.beyond.length;
    $("beyond").className = "warn";
    $("beyond").textContent = this.beyond.length ? `Extrapolation beyond what was given: ${this.beyond.map((each) => each.words).join("; ")}.` : "";
  }

  changed() {
    const turn = ++this.turn;
    this.words();
    requestAnimationFrame(async () => {
      if (turn !== this.turn) return;
      const begun = performance.now(), result = await this.moved(Math.max(LONGEST_FRAME - this.drawing, LONGEST_FRAME / 2));
      if (turn !== this.turn) return;
      const computed = performance.now();
      this.latest.posterior = result;
      this.show(false);
      this.drawing = performance.now() - computed;
      this.frame = performance.now() - begun;
      say(`${result.drawn} of ${result.count} draws in ${Math.round(this.frame)} ms.`);
      this.settle(turn);
    });
  }

  // The posterior while something is moved; where time runs out, of the draws so far.
  async moved(budget) {
    const begun = performance.now(), draws = this.posterior, result = draws.result(resolved(this.doses, this.model), "moving", this.looked());
    const own = this.helpers.begin(draws, 1), others = this.helpers.fill("posterior", result, budget);
    for (let place = 0; place < own && timeLeft(begun, place, budget); place++) draws.fill(result, place);
    if (!(await others)) for (let place = own; place < draws.groups.length && timeLeft(begun, place, budget); place++) draws.fill(result, place);
    result.drawn = result.done + result.helped;
    if (result.helped) result.done = result.count; // draws that nobody came to are not fine
    return result;
  }

  // what is on the screen while something is moved: curves in sight, and the outcomes
  looked() {
    const { place, asked, machine } = this.model, curves = this.figures.filter((each) => each.seen).map((each) => each.curve.output);
    const outcomes = [...this.ranked].flatMap((k) => readBy(asked[k])).map((each) => place[each]);
    return [...new Set([...curves.map((each) => place[each]), ...outcomes, ...machine.watched])].sort((one, other) => one - other);
  }

  async settle(turn) {
    const begun = performance.now();
    await new Promise((go) => setTimeout(go, 60));
    if (turn !== this.turn) return;
    const found = await this.atRest(this.doses, turn);
    if (!found || turn !== this.turn) return;
    this.latest = found;
    this.show(true);
    say(`At rest: ${found.posterior.count} draws of posterior and prior, to Python's tolerance, in ${Math.round(performance.now() - begun)} ms.`);
  }

  // ---- showing ----

  panels() {
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      const figure = this.figures.find((each) => each.node === entry.target);
      figure.seen = entry.isIntersecting;
      if (figure.seen && figure.stale) this.drawFigure(figure);
    }), { rootMargin: "120px" });
    const kinds = [...new Set(this.model.curves.map((each) => each.panel))];
    for (const kind of kinds) {
      const panel = element("div", { className: "panel" }, []);
      $("curves").append(element("h3", {}, [kind]), panel);
      for (const curve of this.model.curves.filter((each) => each.panel === kind)) {
        const figure = new Figure(curve, this.model, panel);
        this.figures.push(figure);
        seen.observe(figure.node);
      }
    }
    new ResizeObserver(() => this.figures.forEach((each) => each.resize())).observe($("curves"));
  }

  drawFigure(figure) {
    const { posterior } = this.latest;
    if (!posterior || !posterior.read.includes(this.model.place[figure.curve.output])) return;
    figure.stale = false;
    figure.draw(this.latest.posterior, this.latest.prior, this.given.posterior, this.beyond.length > 0);
  }

  show(all) {
    for (const figure of this.figures) {
      figure.stale = true;
      if (figure.seen) this.drawFigure(figure);
    }
    const numbers = numbersOf(this.latest.posterior, this.model, all ? null : this.ranked), prior = all ? numbersOf(this.latest.prior, this.model) : null;
    this.outcomes(numbers, prior);
    if (all) this.table(numbers, prior);
  }

  // one card for each outcome; while something is moved, with what is known of the posterior
  outcomes(numbers, prior) {
    const { model, givenNumbers } = this;
    $("outcomes").replaceChildren(...model.outcomes.map(({ asked: k, better, label, unit }) => {
      const { chance, day } = model.asked[k], now = summary(numbers[k], chance), before = summary(givenNumbers.posterior[k], chance);
      const gaps = apart(numbers[k], givenNumbers.posterior[k]), sign = better === "lower" ? -1 : 1;
      const share = above(gaps.map((each) => sign * each));
      const lines = [element("h3", {}, [label + (day === null ? "" : `, day ${short(day)}`)])];
      const same = gaps.every((each) => !(each !== 0)), priorGaps = prior && apart(prior[k], givenNumbers.prior[k]);
      const priorShare = prior ? above(priorGaps.map((each) => sign * each)) : NaN;
      if (same) lines.push(element("p", {}, ["No difference from the plan as given."]));
      else if (better) lines.push(element("p", { className: "chance" }, [`P(better than as given) ${share.toFixed(2)}${prior ? `; prior ${priorShare.toFixed(2)}` : ""}`]));
      if (prior && !same) lines.push(element("p", {}, [better ? `Direction ${direction(share, priorShare)}; size ` : "Size of the difference ", tag(verdict(gaps, priorGaps, chance))]));
      lines.push(element("p", {}, [`Plan ${interval(now, unit)} `, prior ? tag(verdict(numbers[k], prior[k], chance)) : ""]));
      lines.push(element("p", { className: "quiet" }, [`as given ${interval(before, unit)}${prior ? `; prior ${interval(summary(prior[k], chance), unit)}` : ""}`]));
      return element("article", { className: this.beyond.length ? "beyond" : "" }, [...lines, ...(this.beyond.length ? [element("p", {}, ["Extrapolation."])] : [])]);
    }));
  }

  table(numbers, prior) {
    const { model, givenNumbers } = this, heads = ["measure", "quantity", "unit", "plan", "as given", "prior", "P(above as given)", "the number is"];
    const rows = model.asked.map((asked, k) => {
      const cells = [asked.measure, asked.quantity, asked.unit === "1" ? "" : asked.unit, interval(summary(numbers[k], asked.chance)),
        interval(summary(givenNumbers.posterior[k], asked.chance)), interval(summary(prior[k], asked.chance)),
        above(apart(numbers[k], givenNumbers.posterior[k])).toFixed(2)];
      return element("tr", {}, [...cells.map((each, c) => element("td", { className: c > 2 ? "n" : "" }, [each])), element("td", {}, [tag(verdict(numbers[k], prior[k], asked.chance))])]);
    });
    $("numbers").replaceChildren(element("thead", {}, [element("tr", {}, heads.map((each) => element("th", { scope: "col" }, [each])))]), element("tbody", {}, rows));
  }
}

// Whether one more group of draws ends within the time there is, by what those before it took; there is always time for the first.
const timeLeft = (begun, done, budget) => done === 0 || (performance.now() - begun) * (1 + 1 / done) < budget;

function element(name, attributes, children = []) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key === "className" || key === "checked" || key === "selected") node[key] = value;
    else node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// a number as an input of numbers takes it, in few characters
const typedText = (value) => (Math.abs(value) >= 1e5 ? value.toExponential().replace("+", "") : String(value));

const interval = ({ estimate, low, high }, unit = "") =>
  `${short(estimate)}${low === low ? ` (${short(low)} to ${short(high)})` : ""} ${unit}`.trim();

function tag(words) {
  const kind = words === DATA_DRIVEN ? "data" : words === PRIOR_DRIVEN ? "prior" : "moved";
  return words ? element("span", { className: `tag ${kind}` }, [words]) : "";
}

const say = (words) => { $("status").textContent = words; };

const ready = opened().then(async (content) => {
  const page = new Page(content);
  await page.start();
  say(`${content.posterior.count} draws of posterior and prior are in. Move a slider, or type into the table.`);
  return page;
});
// for those who ask by script: the page when it is ready, and all draws under doses of their own
window.cellsim = { ready, solved, numbersOf, beyondGiven, bands };
ready.catch((error) => {
  $("status").className = "warn";
  say(`This browser cannot compute the page (${error.message}); here is the plan as given, as still pictures.`);
});
