// Other threads that carry a part of the draws: workers made from the text of the engine itself, so that nothing is asked of the network.
// Where a browser has none, or refuses one for a file, the page computes alone, as it does until they are ready.
"use strict";

const MOST_HELPERS = 3;

// What runs in a worker, whose text begins with the engine: draws that are handed over once, then plan after plan; a newer one ends an older.
function helping() {
  let parts = null, newest = 0;
  const answer = async ({ id, content, which, plan, how, read, budget }) => {
    if (content) {
      parts = await drawsIn(content.model, content.module, content.vectors, content.turned);
      // the history before day 0, to the tolerance of Python
      for (const draws of Object.values(parts)) {
        const result = draws.result(content.plan, "exact");
        draws.groups.forEach((_, place) => draws.fill(result, place));
      }
      return postMessage({ id });
    }
    const draws = parts[which], result = draws.result(plan, how, read), begun = performance.now();
    for (let place = 0; place < draws.groups.length && performance.now() - begun < budget; place++) {
      draws.fill(result, place);
      if (how === "exact") await pause();
      if (newest !== id) return undefined;
    }
    // what is read, by itself: the values stay here too, since the next plan goes on from them
    const { fine, greatest, below, done } = result, size = result.times.length * result.count, values = new Float64Array(result.read.length * size);
    result.read.forEach((o, n) => values.set(result.values.subarray(o * size, (o + 1) * size), n * size));
    return postMessage({ id, values, fine, greatest, below, done }, [values.buffer]);
  };
  onmessage = ({ data }) => {
    newest = data.id;
    answer(data).catch((error) => postMessage({ id: data.id, failed: error.message }));
  };
}

class Helpers {
  constructor({ model, module, posterior, prior }) {
    Object.assign(this, { model, module, draws: { posterior, prior }, all: [], id: 0 });
    this.ready = this.start().catch(() => this.alone());
  }

  alone() {
    this.all.forEach((each) => each.terminate());
    this.all = [];
  }

  // The group with which a part begins; the page itself has the first part.
  begin(draws, part, parts = this.all.length + 1) { return Math.round((draws.groups.length * part) / parts); }

  async start() {
    const { model, module, draws } = this, W = model.machine.width, width = model.machine.parameters;
    const groups = Math.min(...Object.values(draws).map((each) => each.groups.length));
    const parts = Math.min(MOST_HELPERS + 1, navigator.hardwareConcurrency || 1, groups);
    if (parts < 2) return;
    const plan = resolved(inOrder([...model.given, ...model.background]), model);
    const place = URL.createObjectURL(new Blob([`${$("engine").textContent}\n(${helping})();`], { type: "text/javascript" }));
    const made = [];
    try {
      for (let part = 1; part < parts; part++) {
        const worker = new Worker(place), vectors = {}, turned = {};
        for (const [which, of] of Object.entries(draws)) {
          const from = this.begin(of, part, parts) * W, to = Math.min(this.begin(of, part + 1, parts) * W, of.count);
          vectors[which] = of.vectors.slice(from * width, to * width);
          turned[which] = of.turned.slice(from, to);
        }
        made.push(worker);
        await this.asked(worker, { content: { model, module, vectors, turned, plan } });
      }
      this.all = made;
    } catch (error) {
      made.forEach((each) => each.terminate());
      throw error;
    }
  }

  // The answer of one helper to a message; none to what a newer one has overtaken.
  asked(worker, message) {
    const id = ++this.id;
    return new Promise((answer, fail) => {
      worker.onerror = (error) => { error.preventDefault(); fail(new Error(error.message)); };
      worker.onmessage = ({ data }) => {
        if (data.id !== id) return;
        if (data.failed === undefined) answer(data);
        else fail(new Error(data.failed));
      };
      worker.postMessage({ ...message, id });
    });
  }

  // Let the others fill their parts of a result; false where they could not, and the page does without them from then on.
  async fill(which, result, budget) {
    const { plan, how, read, times, count } = result, draws = this.draws[which], W = this.model.machine.width;
    try {
      await Promise.all(this.all.map(async (worker, k) => {
        const from = this.begin(draws, k + 1) * W, found = await this.asked(worker, { which, plan, how, read, budget }), own = found.fine.length;
        read.forEach((o, n) => {
          for (let s = 0, here = n * times.length, at = o * times.length; s < times.length; s++, here++, at++)
            result.values.set(found.values.subarray(here * own, (here + 1) * own), at * count + from);
        });
        result.fine.set(found.fine, from);
        result.greatest.forEach((column, n) => column.set(found.greatest[n], from));
        result.below.forEach((column, n) => column.set(found.below[n], from));
        result.helped += found.done;
      }));
      return true;
    } catch {
      this.alone();
      return false;
    }
  }
}
