// The live page of a game day. Everything that the server tells becomes text of the page and
// never markup.
(() => {
  "use strict";
  const silence = 2000; // ms without a snapshot until contact is lost
  const patience = 5000; // ms until a stream that tells nothing is replaced, or a decision without effect can be made again
  const settling = 1000; // ms for which a new experiment cannot be decided on
  const token = new URLSearchParams(location.search).get("token") || "";
  const byID = (id) => document.getElementById(id);
  const list = (values) => values || [];

  // ways are what a probe can see: a letter, whether it is good or bad, and words.
  const ways = {
    "up": ["", "good", "up", "answered as it should"],
    "refused": ["R", "bad", "refused", "nothing listens, or the connection was reset"],
    "timed-out": ["T", "bad", "timed out", "no answer in the probe's time"],
    "etcd-error": ["E", "bad", "etcd error", "the API server says that its store fails"],
    "not-ready": ["N", "bad", "not ready", "cache or server not initialised, or throttled"],
    "pending": ["P", "wait", "pending", "accepted, not yet acted upon"],
    "other": ["?", "bad", "other", "an unexpected answer"],
    "starved": ["S", "wait", "starved", "the probe itself was late: nothing is known"],
  };
  const known = (way) => (Object.hasOwn(ways, way) ? way : "other");

  // ---- Building the page

  function make(tag, className, ...children) {
    const e = document.createElement(tag);
    if (className) e.className = className;
    e.append(...children);
    return e;
  }
  // say leaves a text alone that has not changed: it would be read out again.
  function say(id, text) {
    const e = byID(id);
    if (e.textContent !== text) e.textContent = text;
  }
  function warn(id, text) {
    byID(id).hidden = !text;
    say(id, text || "");
  }
  // fill builds a part of the page again when what it shows has changed.
  const filled = new Map();
  function fill(id, data, build) {
    const key = JSON.stringify(data);
    if (filled.get(id) === key) return;
    filled.set(id, key);
    byID(id).replaceChildren(...build(data));
  }
  const none = (tag, text) => [make(tag, "none", text)];
  const percent = (rate) => `${Math.round(rate * 1000) / 10} %`;
  const milliseconds = (seconds) => (seconds > 0 ? `${Math.round(seconds * 1000)} ms` : "–");
  const timeOf = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  function minutes(ms) {
    const s = Math.max(0, Math.round(ms / 1000));
    return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  }

  // ---- The experiment

  function experiment(e) {
    if (!e) return none("p", "No experiment yet.");
    const about = make("dl", "about");
    const line = (name, text, className) => about.append(make("div", className, make("dt", "", name), make("dd", "", text || "–")));
    line("Fault", e.fault);
    line("Targets", list(e.targets).join(", "));
    line("Prediction", e.prediction, "beside");
    line("Observed", e.observed, "beside");
    line("Undo", e.undo, "wide");
    return [make("strong", "", e.name), about];
  }

  // clock counts on the server's time, however this machine's clock is set.
  function clock(e) {
    if (!e || !e.since) return "";
    const now = Date.parse(state.now) + performance.now() - heard;
    const since = `The fault landed at ${timeOf(e.since)}, ${minutes(now - Date.parse(e.since))} ago.`;
    if (!e.until || !["breaking", "holding"].includes(state.phase)) return since;
    const left = Date.parse(e.until) - now;
    return left > 0 ? `${since} Its undo is due in ${minutes(left)}.` : `${since} Its undo was due ${minutes(-left)} ago.`;
  }

  // ---- Probes

  function probeRows(probes) {
    return probes.length ? [...probes.map(probeRow), windowRow(probes[0])] : none("li", "No probes yet.");
  }
  function probeRow(p) {
    const [, mood, word] = p.way ? ways[known(p.way)] : ["", "wait", "no sample"];
    return make("li", "",
      make("span", "name", p.name, " ", make("span", "soft", p.vantage)),
      make("span", `state ${mood}`, word),
      make("span", p.errorRate > 0 ? "figure bad" : "figure", p.way ? `${percent(p.errorRate)} failed` : ""),
      make("span", "figure", `p50 ${milliseconds(p.p50)}`),
      strip(p));
  }
  function strip(p) {
    const e = make("span", "strip"), from = p.seconds - p.window, seen = [];
    e.role = "img";
    for (const s of list(p.spans)) {
      const left = Math.max(s.from, from), right = Math.min(s.to, p.seconds);
      if (right < left || !(p.window > 0)) continue;
      const [letter, , word] = ways[known(s.way)], part = (right - left) / p.window;
      const span = make("span", `way ${known(s.way)}`, ...(letter && part > 0.03 ? [make("span", "letter", letter)] : []));
      span.style.left = `${(left - from) / p.window * 100}%`;
      span.style.width = `${part * 100}%`;
      span.title = s.example ? `${word}: ${s.example}` : word;
      e.append(span);
      seen.push(`${word} for ${Math.round((right - left) * 10) / 10} s`);
    }
    e.ariaLabel = `The last ${p.window} seconds: ${seen.join(", then ") || "nothing seen"}`;
    return e;
  }
  function windowRow(p) {
    return make("li", "soft", make("span", "window", make("span", "", `${p.window} s ago`), make("span", "", "now")));
  }
  function legend() {
    return Object.entries(ways).map(([way, [letter, , word, meaning]]) => {
      const e = make("li", "", make("span", `way ${way}`, ...(letter ? [make("span", "letter", letter)] : [])), word);
      e.title = meaning;
      return e;
    });
  }

  // ---- Tables and lists

  const cell = (...children) => make("td", "", ...children);
  function heading(scope, text) {
    const e = make("th", "", text);
    e.scope = scope;
    return e;
  }
  function table(columns, rows) {
    const head = make("tr", "", ...columns.map((c) => heading("col", c)));
    return [make("thead", "", head), make("tbody", "", ...rows.map(([name, ...cells]) => make("tr", "", heading("row", name), ...cells)))];
  }

  // components has a row for each name and a column for each node.
  function components(all) {
    if (!all.length) return none("caption", "No components yet.");
    const nodes = [...new Set(all.map((c) => c.node))], names = [...new Set(all.map((c) => c.name))];
    const at = (name, node) => cell(...all.filter((c) => c.name === name && c.node === node).map(component));
    return table(["component", ...nodes], names.map((name) => [name, ...nodes.map((node) => at(name, node))]));
  }
  function component(c) {
    const [mood, sign] = { up: ["good", "●"], down: ["bad", "✕"] }[c.state] || ["wait", "?"];
    return make("div", "", make("span", `state ${mood}`, `${sign} ${c.state}`), ...(c.leads ? [make("span", "leads", "leads")] : []));
  }

  function conditions(all) {
    if (!all.length) return none("caption", "No abort conditions.");
    const met = (c) => make("span", `state ${c.met ? "bad" : "good"}`, c.met ? "✕ met: abort" : "● not met");
    return table(["condition", "state", "value", "limit"], all.map((c) => [c.name, cell(met(c)), cell(c.value), cell(c.limit)]));
  }

  function notes(all) {
    const line = (n) => {
      const at = make("time", "", timeOf(n.at));
      at.dateTime = n.at;
      return make("li", "", at, n.text);
    };
    return all.length ? all.toReversed().map(line) : none("li", "No notes yet.");
  }
  function done(all) {
    const line = (d) => make("li", "", make("span", `state ${d.ok ? "good" : "bad"}`, d.ok ? "✓ " : "✕ "), `${d.name}: ${d.outcome}`);
    return all.length ? all.map(line) : none("li", "Nothing yet.");
  }

  // ---- A snapshot

  let state = null, heard = 0; // the last snapshot, and when it came
  let decided = ""; // the experiment that was approved or skipped here
  let shown = 0; // since when its experiment is shown

  function show(next) {
    const before = state && state.experiment && state.experiment.id, e = next.experiment;
    state = next;
    if (e && e.id !== before) shown = performance.now();
    if (state.phase !== "waiting") decided = "";
    say("cluster", state.cluster);
    say("server", state.server);
    say("phase", state.phase);
    say("message", state.message);
    say("number", e ? `${e.number} of ${e.of}` : "");
    warn("aborted", state.aborted && `Aborted: ${state.aborted}`);
    document.body.dataset.phase = state.phase;
    fill("experiment", e || null, experiment);
    fill("probes", list(state.probes), probeRows);
    fill("components", list(state.components), components);
    fill("conditions", list(state.conditions), conditions);
    fill("notes", list(state.notes), notes);
    fill("done", list(state.done), done);
    heard = performance.now(); // what cannot be shown has not been heard
    warn("untold", "");
    contact("live");
    title();
    tick();
  }

  // choice offers a decision to those who see the present only. A new experiment cannot be
  // decided on at once: the click may have been meant for the one before it.
  function choice() {
    const e = state && state.experiment;
    const open = e && state.phase === "waiting" && e.id !== decided && contactState === "live" && performance.now() - shown >= settling;
    for (const id of ["approve", "skip"]) {
      byID(id).disabled = !open;
      byID(id).dataset.experiment = e ? e.id : "";
    }
  }

  // ---- Contact

  let source = null, tried = 0, contactState = "";

  function contact(to) {
    if (contactState === to) return;
    contactState = to;
    const over = to === "lost" && state && state.phase === "over";
    byID("contact").dataset.state = document.body.dataset.contact = over ? "over" : to;
    say("contact", { live: "Live", paused: "Paused" }[to] || lost(over));
    title();
    choice();
  }
  function title() {
    document.title = state ? `${contactState === "live" ? state.phase : contactState} · ${state.cluster} · Faultline game day` : "Faultline game day";
  }
  function lost(over) {
    if (over) return "The day is over, and so is contact.";
    const since = state ? ` at ${timeOf(Date.now())}: what you see is old` : "";
    return `Contact lost${since}. This page keeps trying; abort in the game day's terminal.`;
  }

  function connect() {
    tried = performance.now();
    if (source) source.close();
    source = new EventSource(`events?token=${encodeURIComponent(token)}`);
    source.onmessage = (event) => show(JSON.parse(event.data));
    source.onerror = () => contact("lost");
    source.addEventListener("trouble", (event) => warn("untold", `The game day cannot tell its state: ${JSON.parse(event.data)}`));
  }

  // tick keeps time between snapshots. A stream that is open and silent, or that the browser has
  // given up, is as lost as one that failed.
  function tick() {
    if (document.hidden) return;
    const quiet = performance.now() - Math.max(heard, tried);
    if (quiet > silence) contact("lost");
    if (quiet > patience) connect();
    if (contactState === "live") say("clock", clock(state.experiment));
    choice();
  }

  // A browser has six connections to a server, and a stream keeps one: pages that nobody looks
  // at let go of theirs, or an abort would wait for it.
  function visible() {
    if (!document.hidden) return connect();
    if (source) source.close();
    contact("paused");
  }

  // ---- What people do

  // send tells whether it was done, and people why it was not.
  async function send(what, path, body) {
    try {
      const answer = await fetch(path, {
        method: "POST", body: JSON.stringify(body), keepalive: true, signal: AbortSignal.timeout(10000),
        headers: { "Content-Type": "application/json", "X-Faultline-Token": token },
      });
      warn("trouble", answer.ok ? "" : `${what}: ${await answer.text()}`);
      return answer.ok;
    } catch (error) {
      warn("trouble", `${what} did not reach the game day (${error.message}). Try again, or use the game day's terminal.`);
      return false;
    }
  }
  for (const [id, what] of [["approve", "Approve"], ["skip", "Skip"]]) {
    byID(id).addEventListener("click", async () => {
      const { experiment } = byID(id).dataset;
      decided = experiment;
      choice();
      const again = () => { if (decided === experiment) decided = ""; };
      if (await send(what, id, { experiment })) setTimeout(again, patience); // it may be asked for again
      else again();
    });
  }
  byID("abort").addEventListener("click", () => send("Abort", "abort", {}));
  byID("note").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = byID("text").value;
    if (await send("Add note", "note", { text }) && byID("text").value === text) byID("text").value = "";
  });

  byID("legend").append(...legend());
  document.addEventListener("visibilitychange", visible);
  setInterval(tick, 250);
  visible();
})();
