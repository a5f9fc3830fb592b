// The page of the side door: shows what the server tells, and changes nothing.
// Everything that is told is shown as text: no markup is ever made of it.
"use strict";

// ---- elements --------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

function make(tag, attributes, ...children) {
  const own = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) own.setAttribute(name, value);
  own.append(...children);
  return own;
}

const SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, ...children) {
  const own = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) own.setAttribute(name, value);
  own.append(...children);
  return own;
}

// ---- how numbers are read --------------------------------------------------------------

const DASH = "–";
const is = (value) => value !== null && value !== undefined;
const whole = (value) => (is(value) ? Math.round(value).toLocaleString("en-US") : DASH);

function short(value) {
  if (!is(value)) return DASH;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (value >= size) {
      const scaled = value / (unit === "k" ? 1e3 : size);
      return scaled.toFixed(scaled < 10 ? 1 : 0) + unit;
    }
  }
  return value < 10 && value % 1 !== 0 ? value.toFixed(1) : Math.round(value).toString();
}

function bytes(value) {
  if (!is(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return (at > 0 && value < 10 ? value.toFixed(1) : Math.round(value)) + " " + units[at];
}

function seconds(value) {
  if (!is(value)) return DASH;
  const digits = (number) => (number < 10 ? number.toFixed(1).replace(".0", "") : number.toFixed(0));
  if (value < 9.995e-4) return digits(value * 1e6) + " µs";
  if (value < 0.9995) return digits(value * 1e3) + " ms";
  if (value < 60) return digits(value) + " s";
  if (value < 3600) return Math.floor(value / 60) + " min " + Math.floor(value % 60) + " s";
  if (value < 86400) return Math.floor(value / 3600) + " h " + Math.floor((value % 3600) / 60) + " min";
  return Math.floor(value / 86400) + " d " + Math.floor((value % 86400) / 3600) + " h";
}

const percent = (value) => (is(value) ? Math.round(value * 100) + " %" : DASH);

function clock(unix) {
  if (!is(unix)) return DASH;
  const time = new Date(unix * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const day = time.getFullYear() + "-" + two(time.getMonth() + 1) + "-" + two(time.getDate()) + " ";
  const today = time.toDateString() === new Date().toDateString();
  return (today ? "" : day) + two(time.getHours()) + ":" + two(time.getMinutes()) + ":" + two(time.getSeconds());
}

// ---- states ----------------------------------------------------------------------------

// Shapes, so that no state is told by its color alone: [path, is filled, dashes].
const RING = "M10 3a7 7 0 1 1 0 14a7 7 0 1 1 0-14z";
const STATES = {
  assist: { name: "Assist", icon: "#17945f", shape: [["M10 2a8 8 0 1 1 0 16a8 8 0 1 1 0-16z", true]] },
  solo: { name: "Solo", icon: "#d97706", shape: [[RING, false], ["M10 3a7 7 0 0 0 0 14z", true]] },
  loading: { name: "Loading", icon: "#2f86d6", shape: [[RING, false, "3 2.5"]] },
  draining: { name: "Draining", icon: "#8b5cd6", shape: [["M2 4h16L10 18z", true]] },
  stopped: { name: "Stopped", icon: "#767e88", shape: [["M3 3h14v14H3z", true]] },
  lost: { name: "Not reachable", icon: "#d64238", shape: [["M4 4L16 16M16 4L4 16", false]] },
};

function strokes(state) {
  const { shape } = STATES[state] || STATES.lost;
  return shape.map(([d, filled, dashes]) => {
    const own = { d, "stroke-width": filled ? 0 : 2.5 };
    if (!filled) own.fill = "none";
    if (dashes) own["stroke-dasharray"] = dashes;
    return own;
  });
}

function mark(state) {
  const paths = strokes(state).map((own) => draw("path", { stroke: "currentColor", fill: "currentColor", ...own }));
  return draw("svg", { class: "mark", viewBox: "0 0 20 20", "aria-hidden": "true", "data-state": state }, ...paths);
}

// Made of constants alone.
function icon(state) {
  const { icon: color } = STATES[state] || STATES.lost;
  const svg = draw("svg", { viewBox: "0 0 20 20" });
  for (const own of strokes(state)) svg.append(draw("path", { stroke: color, fill: color, ...own }));
  return "data:image/svg+xml," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
}

// ---- the head: state, alerts, title, icon ----------------------------------------------

const known = { told: null, pid: 0, uptime: 0, announced: "", state: "", again: null };

function showState(state, word, sentence, progress) {
  if (known.state !== state) {
    known.state = state;
    root.dataset.state = state;
    $("state").dataset.state = state;
    $("mark").replaceChildren(...mark(state).childNodes);
    $("icon").setAttribute("href", icon(state));
  }
  $("word").textContent = word;
  $("sentence").textContent = sentence.replace(/(\d) (%|µs|ms|min|[shd])(?=\W|$)/g, "$1\u00a0$2");
  $("progress").hidden = !is(progress);
  if (is(progress)) $("progress").value = Math.floor(progress * 100);
  const share = is(progress) ? " " + Math.floor(progress * 100) + " %" : "";
  const name = known.told ? known.told.name : "vestibule";
  document.title = word + share + " – " + name;
}

// Read out when it changes, and not each second.
function announce(key, text) {
  if (known.announced === key) return;
  known.announced = key;
  $("announce").textContent = text;
}

function showAlerts(alerts) {
  const all = known.again ? [{ level: "notice", text: known.again }, ...alerts] : alerts;
  $("alerts").hidden = all.length === 0;
  const words = { serious: "Serious", warning: "Warning", notice: "Notice" };
  const key = JSON.stringify(all);
  if ($("alert-list").dataset.key === key) return;
  $("alert-list").dataset.key = key;
  const rows = all.map(({ level, text }) =>
    make("li", { "data-level": level }, make("b", {}, words[level] || level), make("span", {}, text)));
  $("alert-list").replaceChildren(...rows);
}

function showTold(told) {
  const { instance, status, headline } = told;
  const startedAgain = known.told && (instance.pid !== known.pid || instance.uptime + 1 < known.uptime);
  if (startedAgain) {
    known.again = "The server has started again, at " + clock(Date.now() / 1000 - instance.uptime) + ".";
    refresh();
  }
  Object.assign(known, { told, pid: instance.pid, uptime: instance.uptime });
  $("name").textContent = told.name;
  $("version").textContent = told.version;
  $("role").textContent = status.role + (status.wanted !== status.role ? ", to be " + status.wanted : "");
  $("uptime").textContent = seconds(instance.uptime);
  showState(status.state, headline.word, headline.sentence, status.progress);
  const transition = status.transition ? status.transition.to + status.transition.phase : "";
  announce([status.state, status.role, status.reason, transition].join(), headline.sentence);
  showAlerts(told.alerts);
}

function showLost(since) {
  const last = known.told ? " Last seen: " + known.told.headline.word + "." : "";
  const ago = seconds(Math.round((Date.now() - since) / 1000));
  showState("lost", STATES.lost.name, "No answer for " + ago + "." + last + " Trying again every second.", null);
  announce("lost", "The server does not answer." + last);
}

function showLive(text, isBad) {
  $("live").textContent = text;
  $("live").classList.toggle("bad", Boolean(isBad));
}

// ---- charts ----------------------------------------------------------------------------

const CHARTS = [
  {
    title: "Requests", unit: "per second", format: short, wide: true,
    series: [["tx", "through Tx"], ["view", "from the read view"], ["local", "by sessions"], ["refused", "refused"]],
  },
  {
    title: "Latency", unit: "half and 99 of 100 within", format: seconds, log: true, wide: true,
    series: [["tx_p50", "Tx p50"], ["tx_p99", "Tx p99"], ["door_p50", "without Tx p50"], ["door_p99", "without Tx p99"]],
  },
  {
    title: "Under way", unit: "requests", format: short,
    series: [["in_flight", "in flight"], ["queued", "queued"], ["held", "held"]],
  },
  { title: "Connections", unit: "open", format: short, series: [["connections", "open"]] },
  { title: "Tx busy", unit: "share of the time", format: percent, max: 1, series: [["busy", "in a turn"]] },
];
const LEFT = 46, RIGHT = 8, TOP = 14, BOTTOM = 26, RAIL = 4;

const data = { period: 1, kept: 300, samples: [], cursor: null, isDue: false };

// Above the largest value, and half of it is a round number too.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((own) => own >= value * 0.999);
}

function scale(chart, values) {
  if (chart.log) {
    const from = Math.floor(Math.log10(Math.min(1e-4, ...values)));
    const to = Math.max(from + 2, Math.ceil(Math.log10(Math.max(1e-3, ...values))));
    const step = Math.ceil((to - from) / 3);
    const ticks = [];
    for (let at = from; at <= to; at += step) ticks.push(10 ** at);
    return { ticks, at: (value) => Math.max(0, (Math.log10(value) - from) / (to - from)) };
  }
  const max = chart.max || nice(Math.max(4, ...values));
  return { ticks: [0, max / 2, max], at: (value) => value / max };
}

// Runs of one state: [state, from, to] in Unix time.
function runs(samples) {
  const all = [];
  for (const { at, state } of samples) {
    const last = all[all.length - 1];
    const follows = last && at - last[2] < 2.5 * data.period;
    if (follows && last[0] === state) last[2] = at;
    else all.push([state, follows ? last[2] : at - data.period, at]);
  }
  return all;
}

const LINES = { solo: "M-2 8L8 -2M6 10L10 6M-2 2L2 -2", loading: "M0 4H8", draining: "M4 0V8", stopped: "M0 4H8M4 0V8" };

function hatches(prefix) {
  const patterns = Object.entries(LINES).map(([state, d]) =>
    draw("pattern", { id: prefix + state, width: 8, height: 8, patternUnits: "userSpaceOnUse", "data-state": state },
      draw("path", { d, class: "hatch" })));
  return draw("defs", {}, ...patterns);
}

function bandsOf(x, height, prefix) {
  const all = [];
  for (const [state, from, to] of runs(data.samples)) {
    const left = Math.max(LEFT, x(from));
    const width = x(to) - left;
    if (width <= 0) continue;
    const box = { x: left.toFixed(1), width: width.toFixed(1), "data-state": state };
    if (state !== "assist") {
      const tall = { ...box, y: TOP, height: height - TOP - BOTTOM };
      all.push(draw("rect", { ...tall, class: "band" }));
      all.push(draw("rect", { ...tall, fill: "url(#" + prefix + state + ")" }));
      if (width > 44) {
        const name = (STATES[state] || { name: state }).name;
        all.push(draw("text", { x: left + 3, y: TOP - 4, class: "band-name", "data-state": state }, name));
      }
    }
    all.push(draw("rect", { ...box, y: height - BOTTOM, height: RAIL, class: "rail" }));
  }
  return all;
}

function curve(key, x, y) {
  let path = "", last = -Infinity;
  for (const sample of data.samples) {
    const value = sample[key];
    if (!is(value)) {
      last = -Infinity;
      continue;
    }
    const joins = sample.at - last < 2.5 * data.period;
    // A dot where there is no neighbor: a line of no length has round ends.
    path += (joins ? "L" : "M" + x(sample.at).toFixed(1) + " " + y(value).toFixed(1) + "h0L") +
      x(sample.at).toFixed(1) + " " + y(value).toFixed(1);
    last = sample.at;
  }
  return path;
}

function drawChart(chart, number) {
  const box = chart.svg.getBoundingClientRect();
  if (box.width === 0) return;
  const width = Math.round(box.width), height = Math.round(box.height);
  const { samples } = data;
  const end = samples.length ? samples[samples.length - 1].at : 0;
  const span = data.kept * data.period;
  const x = (at) => width - RIGHT - ((end - at) / span) * (width - LEFT - RIGHT);
  const values = chart.series.flatMap(([key]) => samples.map((own) => own[key]).filter(is));
  const { ticks, at: share } = scale(chart, values);
  const y = (value) => height - BOTTOM - share(value) * (height - TOP - BOTTOM);
  const prefix = "h" + number + "-";
  const parts = [hatches(prefix)];
  if (samples.length) parts.push(...bandsOf(x, height, prefix));
  for (const tick of ticks) {
    const at = Math.round(y(tick));
    parts.push(draw("line", { x1: LEFT, x2: width - RIGHT, y1: at, y2: at, class: "grid" }));
    parts.push(draw("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end", class: "tick" }, chart.format(tick)));
  }
  for (let step = 0; step <= 5; step += 1) {
    // Where there is no room beside the first.
    if (step === 1 && width < 420) continue;
    const ago = (span * (5 - step)) / 5;
    const text = step === 5 ? "now" : step === 0 ? "−" + seconds(ago).replace(" 0 s", "") : "−" + +(ago / (span < 60 ? 1 : 60)).toFixed(1);
    const anchor = step === 5 ? "end" : step === 0 ? "start" : "middle";
    parts.push(draw("text", { x: x(end - ago), y: height - 6, "text-anchor": anchor, class: "tick" }, text));
  }
  chart.series.forEach(([key], at) =>
    parts.push(draw("path", { d: curve(key, x, y), class: "curve s" + at })));
  const shown = current();
  if (!samples.length) {
    parts.push(draw("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty" }, "The first samples are on their way"));
  } else if (data.cursor !== null) {
    const at = Math.round(x(shown.at));
    parts.push(draw("line", { x1: at, x2: at, y1: TOP, y2: height - BOTTOM, class: "cursor" }));
    chart.series.forEach(([key], own) => {
      if (is(shown[key])) parts.push(draw("circle", { cx: at, cy: y(shown[key]), r: 3.5, class: "dot s" + own }));
    });
  }
  chart.svg.setAttribute("viewBox", "0 0 " + width + " " + height);
  chart.svg.replaceChildren(...parts);
  const told = chart.series.map(([key, name], at) => {
    const text = chart.format(shown ? shown[key] : null);
    chart.values[at].textContent = text;
    return name + " " + text;
  });
  chart.svg.setAttribute("aria-label", chart.title + ", " + chart.unit + ", " + when(shown) + ": " + told.join(", "));
}

// The sample that the cursor stands on, or the newest.
function current() {
  const { samples, cursor } = data;
  if (!samples.length) return null;
  if (cursor === null) return samples[samples.length - 1];
  return samples.reduce((best, own) => (Math.abs(own.at - cursor) < Math.abs(best.at - cursor) ? own : best));
}

const when = (sample) => (data.cursor === null || !sample ? "now" : clock(sample.at));

// Once for each frame, however many samples come.
function drawSoon() {
  if (data.isDue || document.hidden) return;
  data.isDue = true;
  requestAnimationFrame(() => {
    data.isDue = false;
    drawCharts();
  });
}

function drawCharts() {
  CHARTS.forEach(drawChart);
  const { samples } = data;
  const shown = current();
  $("when").textContent = when(shown);
  const input = $("cursor");
  input.max = Math.max(0, samples.length - 1);
  input.value = data.cursor === null ? input.max : samples.indexOf(shown);
  input.setAttribute("aria-valuetext", when(shown));
  const seen = [...new Set(samples.map((own) => own.state))];
  if ($("bands").dataset.key !== seen.join()) {
    $("bands").dataset.key = seen.join();
    $("bands").replaceChildren(...seen.map((state) =>
      make("li", { "data-state": state }, mark(state), (STATES[state] || { name: state }).name)));
  }
  if ($("figures").open) drawFigures();
}

// The same for those who do not see the charts: about thirty rows.
function drawFigures() {
  const series = CHARTS.flatMap((chart) => chart.series.map(([key, name]) => [key, chart.title + ": " + name, chart.format]));
  const heads = ["Time", "State", ...series.map(([, name]) => name)];
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
  const step = Math.ceil(data.samples.length / 30) || 1;
  const rows = data.samples.filter((_, at) => (data.samples.length - 1 - at) % step === 0).reverse();
  const body = rows.map((own) => make("tr", {}, make("th", { scope: "row" }, clock(own.at)), make("td", {}, own.state),
    ...series.map(([key, , format]) => make("td", {}, format(own[key])))));
  $("figures-table").replaceChildren(head, make("tbody", {}, ...body));
}

function makeCharts() {
  for (const [number, chart] of CHARTS.entries()) {
    chart.svg = draw("svg", { role: "img", "aria-label": chart.title });
    chart.values = chart.series.map(() => make("b", {}, DASH));
    const legend = chart.series.map(([, name], at) => {
      const line = draw("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, draw("path", { d: "M1 4H23", class: "curve s" + at }));
      return make("li", {}, line, name, chart.values[at]);
    });
    const title = make("h3", { id: "chart-" + number }, chart.title + " ", make("small", {}, chart.unit));
    const list = make("ul", { class: "series", "aria-labelledby": "chart-" + number }, ...legend);
    $("charts").append(make("div", { class: chart.wide ? "chart wide" : "chart" }, title, chart.svg, list));
    const follow = (event) => {
      const box = chart.svg.getBoundingClientRect();
      const { samples } = data;
      if (!samples.length) return;
      const share = (box.right - RIGHT - event.clientX) / (box.width - LEFT - RIGHT);
      data.cursor = samples[samples.length - 1].at - share * data.kept * data.period;
      drawSoon();
    };
    chart.svg.addEventListener("pointermove", follow);
    chart.svg.addEventListener("pointerdown", follow);
    chart.svg.addEventListener("pointerleave", () => {
      data.cursor = null;
      drawSoon();
    });
  }
  $("cursor").addEventListener("input", (event) => {
    const at = Number(event.target.value);
    data.cursor = at >= data.samples.length - 1 ? null : data.samples[at].at;
    drawSoon();
  });
  $("figures").addEventListener("toggle", drawSoon);
  new ResizeObserver(drawSoon).observe($("charts"));
}

function takeHistory({ period, kept, samples }) {
  Object.assign(data, { period, kept, samples });
  $("charts-title").textContent = "The last " + seconds(period * kept).replace(" 0 s", "").replace("min", "minutes");
  drawSoon();
}

function takeSample(sample) {
  const last = data.samples[data.samples.length - 1];
  if (!sample || (last && sample.at <= last.at)) return;
  data.samples.push(sample);
  if (data.samples.length > data.kept) data.samples.splice(0, data.samples.length - data.kept);
  drawSoon();
}

// ---- tables ----------------------------------------------------------------------------

const ROWS_MAX = 100;
const text = (key, label, how) => ({ label, text: (own) => (is(own[key]) ? String(own[key]) : DASH), value: (own) => own[key], ...how });
const number = (key, label, format, how) => ({ label, text: (own) => (format || whole)(own[key]), value: (own) => own[key], isNumber: true, ...how });

const PHASES = ["announce", "quiesce", "grace", "abort", "settle"];

function phases(own) {
  const all = PHASES.filter((name) => own.phases[name] > 0).map((name) => name + " " + seconds(own.phases[name]));
  return all.join(", ") || DASH;
}

function fates(own) {
  const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0);
  const all = [["waited for", sum(own.waited_for)], ["joined", sum(own.joined)], ["finished", sum(own.finished)],
    ["revoked", sum(own.revoked)], ["killed", sum(own.killed)], ["left", sum(own.left)],
    ["transactions waited for", own.waited_for_transactions], ["aborted", own.aborted_transactions],
    ["told that the outcome is unknown", own.outcome_unknown]];
  return all.filter(([, count]) => count > 0).map(([name, count]) => count + " " + name).join(", ") || DASH;
}

function upstream(own) {
  const writes = own.is_writable === null ? "" : own.is_writable ? ", takes changes" : ", read-only";
  return own.state + writes + (own.is_target ? "; requests go there" : "");
}

const TABLES = [
  {
    id: "requests", title: "Requests under way", full: true, sort: [0, -1], about: "The oldest first. What they ask is not told.",
    rows: (all) => all.requests, columns: [
      number("age", "Age", seconds), text("state", "How far"), text("type", "Type"), text("procedure", "Procedure", { long: true }),
      text("user", "User"), number("connection", "Connection"), number("sync", "Sync"), number("stream", "Stream"),
    ],
  },
  {
    id: "connections", title: "Connections", full: true, sort: [3, -1], about: "The busiest first.",
    rows: (all) => all.connections, count: (all) => all.status.status.connections, columns: [
      number("connection", "Number"), text("peer", "Peer", { isShort: true }), text("user", "User"), number("in_flight", "In flight"), number("held", "Held"),
      number("transactions", "Transactions"), number("output_bytes", "Unread", bytes), number("memory_bytes", "Memory", bytes),
      number("age", "Age", seconds), text("place", "Place"), number("thread", "Thread"),
    ],
  },
  {
    id: "transitions", title: "Transitions", full: true, sort: [0, -1], about: "Changes of state and of role, the newest first.",
    rows: (all) => all.transitions, columns: [
      number("id", "No."), { label: "Began", text: (own) => clock(own.started), value: (own) => own.started, isShort: true },
      { label: "From, to", text: (own) => (own.upstream ? own.upstream + ": " : "") + own.from + " → " + own.to, value: (own) => own.to, state: (own) => own.to, isShort: true },
      text("reason", "Reason", { long: true }), text("requested_by", "Asked by"), text("result", "Result"), number("took", "Took", seconds),
      { label: "Phases", text: phases, value: (own) => own.took, long: true }, { label: "Requests", text: fates, value: (own) => own.outcome_unknown, long: true },
    ],
  },
  {
    id: "spaces", title: "Spaces", full: true, sort: [2, -1], about: "The largest first.",
    rows: (all) => (all.status.metrics.engine || {}).spaces, count: (all) => {
      const { spaces, spaces_left_out: more } = all.status.metrics.engine || { spaces: [], spaces_left_out: 0 };
      return spaces.length + more;
    }, columns: [
      text("name", "Name", { long: true }), number("rows", "Rows"), number("bytes", "With indexes", bytes), number("tuple_bytes", "Tuples", bytes),
      { label: "Indexes", text: (own) => own.indexes.map((index) => index.name + " " + bytes(index.bytes)).join(", ") || DASH, value: (own) => own.indexes.length, long: true },
    ],
  },
  {
    id: "upstreams", title: "Upstreams", full: true, sort: null, about: "How they are, and how often requests came to go to another one.",
    isAbsent: (all) => !all.status.metrics.gateway, rows: (all) => all.status.metrics.gateway.upstreams, columns: [
      text("name", "Name"), { label: "State", text: upstream, value: (own) => own.state },
      number("since", "For", seconds), text("trouble", "Trouble", { long: true }), number("in_flight", "In flight"), number("links", "Links"),
      number("failovers", "Fail-overs"), number("connects", "Connected"), number("retried", "Sent again"), number("unknown", "Outcome unknown"),
      text("address", "Address"), text("version", "Version"),
    ],
  },
  {
    id: "links", title: "Links", full: true, sort: [4, -1], about: "Connections to upstreams, of one user each. The busiest first.",
    isAbsent: (all) => !all.status.metrics.gateway, rows: (all) => all.links,
    count: (all) => all.status.metrics.gateway.upstreams.reduce((sum, own) => sum + own.links, 0), columns: [
      text("upstream", "Upstream"), text("user", "User"), number("thread", "Thread"),
      { label: "State", text: (own) => own.state + (own.is_bulk ? ", for bulk" : ""), value: (own) => own.state }, number("in_flight", "In flight"),
      number("queued", "Queued"), number("transactions", "Transactions"), number("unsent_bytes", "Not taken", bytes), number("age", "Age", seconds),
    ],
  },
  { id: "journal", title: "Journal and checkpoints", rows: journal, pairs: true },
  { id: "process", title: "Memory and process", rows: processRows, pairs: true },
  {
    id: "descriptors", title: "Descriptors", sort: null, about: "Shares of the files that the process may have open.",
    rows: (all) => all.status.descriptors, columns: [
      text("share", "Share"), number("taken", "Taken"), number("max", "Of"), number("turned_away", "Found none"),
    ],
  },
  {
    id: "threads", title: "Session threads", sort: null, about: "How fast they hear of a change of state.",
    rows: (all) => all.status.metrics.threads.map((own, at) => ({ ...own, seen: all.status.metrics.heartbeats.session_threads[at] })), columns: [
      number("thread", "Thread"), number("connections", "Connections"), number("in_flight", "In flight"),
      { label: "Heard in", text: (own) => seconds(own.reached_us / 1e6), value: (own) => own.reached_us, isNumber: true },
      { label: "Slowest", text: (own) => seconds(own.reached_max_us / 1e6), value: (own) => own.reached_max_us, isNumber: true },
      number("seen", "Seen", seconds),
    ],
  },
  {
    id: "settings", title: "Settings", full: true, sort: [2, 1], about: "Those that somebody has set first. Secrets are told by their files.",
    rows: (all) => all.settings, columns: [
      text("option", "Option", { isShort: true }), { label: "Value", text: (own) => own.values.join(", ") || DASH, value: (own) => own.values.join(), long: true },
      { label: "Origin", text: (own) => own.origin, value: (own) => (own.origin === "default" ? "1" : "0" + own.origin) },
    ],
  },
];

function journal(all) {
  const { journal: own, checkpoints } = all.status.metrics.engine || {};
  const rows = [];
  if (own) {
    const syncs = own.syncs.buckets.reduce((sum, count) => sum + count, own.syncs.beyond);
    rows.push(["Size", bytes(own.size_bytes)], ["Written since the start", bytes(own.written_bytes)],
      ["Synced", whole(syncs) + " times" + (syncs ? ", " + seconds(own.syncs.sum / syncs) + " each" : "")],
      ["Last record", whole(all.status.metrics.last_record)]);
  }
  if (checkpoints) {
    const { last_success: at, last_duration: took, failures, failure, journal_bytes: since } = checkpoints;
    rows.push(["Last checkpoint", is(at) ? clock(at) + ", in " + seconds(took) : "none since the start"],
      ["In the journal since", bytes(since)], ["Failed checkpoints", whole(failures) + (failure ? ", the last one: " + failure : "")]);
  }
  return rows;
}

function processRows(all) {
  const { metrics, process } = all.status;
  const share = (own) => (own ? bytes(own.used_bytes) + (own.max_bytes > 0 && own.max_bytes < 2 ** 53 ? " of " + bytes(own.max_bytes) : "") : DASH);
  return [["Data", share(metrics.data_memory)], ["Buffers of connections", share(metrics.connections_memory)],
    ["Resident", bytes(process.resident_bytes)], ["Processor time", seconds(process.user_seconds + process.system_seconds)],
    ["Threads", whole(process.threads)], ["Open files", whole(process.open_descriptors) + " of " + whole(process.descriptors_max)],
    ["Open transactions", whole(metrics.transactions)], ["Restarts of Tx", whole(metrics.tx.restarts)]];
}

function makeTables() {
  for (const table of TABLES) {
    const title = make("h2", { id: table.id + "-title" }, table.title);
    table.note = make("p", { class: "about" }, "–");
    table.body = make("tbody", {});
    const isFit = table.columns && !table.columns.some((column) => column.long);
    const own = make("table", { class: isFit ? "fit" : "", "aria-labelledby": table.id + "-title" });
    if (table.columns) {
      table.heads = table.columns.map((column, at) => {
        const button = make("button", { type: "button" }, column.label);
        button.addEventListener("click", () => {
          const [before, way] = table.sort || [];
          table.sort = [at, before === at ? -way : column.isNumber ? -1 : 1];
          fill(table);
        });
        return make("th", { scope: "col", class: column.isNumber ? "number" : "" }, button);
      });
      own.append(make("thead", {}, make("tr", {}, ...table.heads)));
    }
    own.append(table.body);
    table.box = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-labelledby": table.id + "-title" }, own);
    const section = make("section", { id: table.id, class: table.full ? "full" : "", "aria-labelledby": table.id + "-title" }, title, table.note, table.box);
    section.hidden = Boolean(table.isAbsent);
    $("tables").append(section);
  }
}

function order(table, rows) {
  if (!table.sort) return rows;
  const [at, way] = table.sort;
  const { value } = table.columns[at];
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    // What has no value is the least: text and numbers compare with nothing else.
    if (!is(x) || !is(y)) return (is(x) - is(y)) * way;
    return x < y ? -way : x > y ? way : 0;
  });
}

function cell(column, own) {
  const classes = [column.isNumber && "number", column.long && "long", (column.isShort || column.isNumber) && "short"];
  const td = make("td", { class: classes.filter(Boolean).join(" ") });
  const state = column.state && column.state(own);
  if (STATES[state]) td.append(mark(state));
  td.append(column.text(own));
  return td;
}

function fill(table) {
  const rows = table.told || [];
  (table.heads || []).forEach((head, at) => {
    if (table.sort && table.sort[0] === at) head.setAttribute("aria-sort", table.sort[1] > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
  const shown = table.pairs
    ? rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "long" }, value)))
    : order(table, rows).slice(0, ROWS_MAX).map((own) => make("tr", {}, ...table.columns.map((column) => cell(column, own))));
  table.body.replaceChildren(...shown);
  table.box.hidden = shown.length === 0;
  const about = table.about || "";
  const total = Math.max(table.total || 0, rows.length);
  const part = total > shown.length ? shown.length + " of " + whole(total) + ". " : "";
  table.note.textContent = table.told === undefined ? "Not told." : shown.length === 0 ? "None." : part + about;
  table.note.hidden = table.note.textContent === "";
}

// ---- what is fetched -------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

const lists = { settings: undefined, at: 0, isAsking: false };

// One after another: the door has few places, and probes need some.
async function refresh() {
  if (lists.isAsking || document.hidden) return;
  lists.isAsking = true;
  try {
    const ask = (path) => get(path).catch(() => undefined);
    const all = { status: await get("status.json") };
    all.requests = await ask("requests.json?limit=" + ROWS_MAX);
    all.connections = await ask("connections.json?limit=" + ROWS_MAX);
    if (all.status.metrics.gateway) all.links = await ask("links.json?limit=" + ROWS_MAX);
    all.transitions = await ask("transitions.json?limit=" + ROWS_MAX);
    all.settings = await ask("config.json");
    for (const table of TABLES) {
      const isAbsent = Boolean(table.isAbsent && table.isAbsent(all));
      $(table.id).hidden = isAbsent;
      if (isAbsent) continue;
      table.told = table.rows(all);
      table.total = table.count ? table.count(all) : 0;
      fill(table);
    }
  } catch {
    // The stream tells that the server does not answer.
  } finally {
    lists.isAsking = false;
    lists.at = Date.now();
  }
}

// ---- the stream, and what is done without it -------------------------------------------

const POLL_MS = 2000, HIDDEN_MS = 5000, STREAM_AGAIN_MS = 15000, LISTS_MS = 5000;
const link = { stream: null, heardAt: Date.now(), polledAt: 0, refusedAt: 0, isPolling: false };

function closeStream() {
  if (link.stream) link.stream.close();
  link.stream = null;
}

function openStream() {
  closeStream();
  const stream = new EventSource("events");
  link.stream = stream;
  link.heardAt = Math.max(link.heardAt, Date.now() - 1000);
  const take = (name, use) => stream.addEventListener(name, (event) => {
    link.heardAt = Date.now();
    use(JSON.parse(event.data));
  });
  take("history", takeHistory);
  take("sample", (told) => {
    showTold(told);
    takeSample(told.sample);
    showLive(data.period === 1 ? "Live, once a second" : "Live");
  });
  stream.addEventListener("error", () => {
    closeStream();
    link.refusedAt = Date.now();
    poll();
  });
}

async function poll() {
  if (link.isPolling) return;
  link.isPolling = true;
  link.polledAt = Date.now();
  try {
    const told = await get(document.hidden ? "status.json" : "status.json?history");
    link.heardAt = Date.now();
    showTold(told);
    if (told.history) takeHistory(told.history);
    if (!link.stream) showLive(document.hidden ? "Resting while hidden" : "No stream, asking every 2 s");
  } catch {
    showLost(link.heardAt);
    showLive("Not reachable", true);
    // As soon as it answers, so does the stream.
    link.refusedAt = 0;
  } finally {
    link.isPolling = false;
  }
}

// Once a second: a stream when it can be had, else questions.
function tick() {
  const now = Date.now();
  if (document.hidden) {
    closeStream();
    if (now - link.polledAt >= HIDDEN_MS) poll();
    return;
  }
  if (link.stream && now - link.heardAt > 5000 + 5000 * data.period) {
    closeStream();
    poll();
  } else if (!link.stream) {
    const isLost = known.state === "lost";
    if (isLost || now - link.polledAt >= POLL_MS) poll();
    if (!isLost && now - link.refusedAt >= STREAM_AGAIN_MS) openStream();
  }
  if (now - lists.at >= LISTS_MS) refresh();
}

function begin() {
  root.classList.add("ready");
  makeCharts();
  makeTables();
  for (const own of document.querySelectorAll("#legend div")) own.querySelector("dt").prepend(mark(own.dataset.state));
  openStream();
  refresh();
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => {
    closeStream();
    if (!document.hidden) openStream();
    tick();
  });
  // A page that is kept for the way back keeps no stream.
  addEventListener("pagehide", closeStream);
}

begin();
