// The formulas of harness/scenarios/formulas.py and pull_model.py, for sliders.
// tests/report/page/assets/test_scenarios.py compares both.
// Bytes are B, times s, bandwidth bit/s of payload. `parts` is what scenarios.plain() gives.
"use strict";
const Scenarios = (() => {
  const PARALLEL = 3;
  const LEAD_TRIPS = 8;
  const LAYER_TRIPS = 2;
  const PUSH_TRIPS = 24;

  // The bytes still to come of all that flow, after `flowed` bytes of each; what is complete has arrived `now`.
  function flow(flowing, flowed, arrived, now) {
    for (const [i, left] of [...flowing]) {
      if (left <= flowed) {
        flowing.delete(i);
        arrived[i] = now;
      } else flowing.set(i, left - flowed);
    }
  }
  function drain(flowing, flowed) {
    for (const [i, left] of [...flowing]) flowing.set(i, Math.max(left - flowed, 0));
  }
  // Moves what has waited for its latency from `waiting` to `flowing`.
  function begin(waiting, flowing, sizes, now) {
    for (const [i, at] of [...waiting]) {
      if (at > now) continue;
      waiting.delete(i);
      flowing.set(i, sizes[i]);
    }
  }
  const smallest = map => Math.min(Number.POSITIVE_INFINITY, ...map.values());
  // When each download has arrived: slots in order, and all that flow share the rate (pull_model.py).
  function arrivals(sizes, start, rate, latency, parallel) {
    const arrived = sizes.map(() => start);
    const queue = [...sizes.keys()].filter(i => sizes[i] > 0);
    const waiting = new Map(); // until when
    const flowing = new Map(); // bytes left
    let now = start;
    while (queue.length || waiting.size || flowing.size) {
      while (queue.length && waiting.size + flowing.size < parallel) waiting.set(queue.shift(), now + latency);
      begin(waiting, flowing, sizes, now);
      const next = smallest(waiting);
      const least = smallest(flowing);
      const share = rate / flowing.size;
      if (now + least / share <= next) {
        now += least / share;
        flow(flowing, least, arrived, now);
      } else {
        drain(flowing, share * (next - now));
        now = next;
      }
    }
    return arrived;
  }

  function predict(profile, factor, wire, nodes) {
    const begin = profile.lead * factor + LEAD_TRIPS * wire.rtt;
    const sizes = profile.layers.map(layer => layer.bytes);
    const arrived = arrivals(sizes, begin, wire.bits_per_second / 8 / nodes, LAYER_TRIPS * wire.rtt, PARALLEL);
    let complete = begin;
    profile.layers.forEach((layer, i) => {
      complete = Math.max(complete, arrived[i]) + layer.unpack * factor;
    });
    return complete + profile.tail * factor;
  }

  const known = x => x !== null && x !== undefined;

  function pull(typical, wire, nodes) {
    const seconds = factor => (known(factor) ? predict(typical.profile, factor, wire, nodes) : null);
    return { value: seconds(1), low: seconds(typical.low), high: seconds(typical.high), n: typical.n };
  }

  // Zou & Donner's interval of a sum of independent parts (scenarios.Estimate.plus).
  function plus(a, b) {
    const value = a.value + b.value;
    const low = known(a.low) && known(b.low) ? value - Math.hypot(a.value - a.low, b.value - b.low) : null;
    const high = known(a.high) && known(b.high) ? value + Math.hypot(a.high - a.value, b.high - b.value) : null;
    const counts = [a.n, b.n].filter(n => n);
    return { value, low, high, n: counts.length ? Math.min(...counts) : 0 };
  }

  const deploy = (typical, parts, wire, nodes = 1) =>
    typical && parts.start ? plus(pull(typical, wire, nodes), parts.start) : null;

  function rebuild(_parts, build, bytes, wire) {
    if (!build || !known(bytes)) return null;
    const sent = (bytes * 8) / wire.bits_per_second + PUSH_TRIPS * wire.rtt;
    return plus(build, { value: sent, low: sent, high: sent, n: 0 });
  }

  const compute = {
    first: (parts, q) => deploy(parts.empty, parts, q.wire),
    update: (parts, q) => deploy(parts.update, parts, q.wire),
    "update-cold": (parts, q) =>
      known(parts.reproducible) ? deploy(parts.reproducible ? parts.update : parts.base, parts, q.wire) : null,
    scale: (parts, q) => deploy(parts.empty, parts, q.wire, q.nodes),
    rebuild: (parts, q) => rebuild(parts, parts.source, parts.pushed.cached, q.wire),
    "rebuild-cold": (parts, q) => rebuild(parts, parts.cold, parts.pushed.uncached, q.wire),
  };

  const storage = (stored, versions) => stored.first + (versions - 1) * stored.added;

  // Where `ahead` changes its sign between `from`, where it has the sign of `before`, and `to`: by bisection on logs.
  function bisect(ahead, from, to, before) {
    let [low, high] = [from, to];
    for (let k = 0; k < 50; k++) {
      const middle = Math.sqrt(low * high);
      if (ahead(middle) * before > 0) low = middle;
      else high = middle;
    }
    return high;
  }
  // Bandwidths between `low` and `high` where the first of two becomes or ceases to be the faster one: found on a
  // grid of 200 steps, then by bisection. `below`: the first is faster below it.
  function breakEven(one, two, name, question, low = 1e6, high = 1e10) {
    const ahead = bits => {
      const asked = { ...question, wire: { ...question.wire, bits_per_second: bits } };
      const [first, second] = [compute[name](one, asked), compute[name](two, asked)];
      return first && second ? first.value - second.value : Number.NaN;
    };
    const steps = 200;
    const ratio = (high / low) ** (1 / steps);
    const found = [];
    let [at, before] = [low, ahead(low)];
    for (let i = 0; i < steps; i++) {
      const next = at * ratio;
      const now = ahead(next);
      if (before * now < 0) found.push({ bits_per_second: bisect(ahead, at, next, before), below: before < 0 });
      if (now) before = now;
      at = next;
    }
    return found;
  }

  return { compute, storage, breakEven };
})();
if (typeof module !== "undefined") module.exports = Scenarios;
