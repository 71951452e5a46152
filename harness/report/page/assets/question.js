// What a reader of trends.html asks for: words to find, a range of dates, series laid over each other, one night. It
// stands in the address of the page, so that the address can be shared.
"use strict";
globalThis.Question = (() => {
  const asked = new URLSearchParams(location.search);

  const one = name => asked.get(name) ?? "";
  const all = name => asked.getAll(name);
  // Sets a name to a text or a list of texts; empty ones leave the address.
  function put(name, value) {
    asked.delete(name);
    for (const text of [value].flat()) if (text) asked.append(name, text);
    asked.sort(); // one question has one address
    const query = asked.toString();
    history.replaceState(null, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
  }
  // A date of the address as milliseconds; the last day of a range counts to its end.
  function time(name, missing, more = 0) {
    const at = Date.parse(`${one(name)}T00:00:00Z`);
    return Number.isNaN(at) ? missing : at + more;
  }
  const isWithin = ({ at }) =>
    at >= time("from", Number.NEGATIVE_INFINITY) && at < time("to", Number.POSITIVE_INFINITY, 86_400_000);
  return { one, all, put, isWithin };
})();
