// The page. Text comes from anybody who can write to the broker: it goes into the document as text, never as markup.
import { age, ago, bytes, count, micros, moment, rate } from "/words.js";
import { chart, h, spark, table } from "/parts.js";

const main = document.getElementById("main");
const state = { token: "", admin: false, samples: [], tables: null, seconds: 300 };
let view = null; // {update(kind), stop()} of what is shown
let events = null;

// ---------------------------------------------------------------- the server

class Failed extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Failed(0, "the server is away");
  }
  const found = await reply.json().catch(() => ({}));
  if (reply.status === 401) location.hash = "#/", start();
  if (!reply.ok) throw new Failed(reply.status, found.error ?? `status ${reply.status}`);
  return found;
}

function change(path, body) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Millstream-Token": state.token },
    body: JSON.stringify(body),
  });
}

function listen() {
  events?.close();
  events = new EventSource("/api/events");
  events.addEventListener("open", () => live(true));
  events.addEventListener("error", () => {
    live(false);
    // The browser tries again by itself, but not where it was refused: a server that was started anew knows no session.
    if (events.readyState === EventSource.CLOSED) setTimeout(start, 2000);
  });
  events.addEventListener("ended", () => start());
  events.addEventListener("history", (event) => {
    state.samples = JSON.parse(event.data);
    view?.update("sample");
  });
  events.addEventListener("sample", (event) => {
    state.samples.push(JSON.parse(event.data));
    state.samples.splice(0, state.samples.length - state.seconds);
    view?.update("sample");
  });
  events.addEventListener("tables", (event) => {
    state.tables = JSON.parse(event.data);
    document.getElementById("dead-count").textContent = state.tables.about.dead || "";
    view?.update("tables");
  });
}

function live(on) {
  const shown = document.getElementById("live");
  shown.textContent = on ? "live" : "no connection";
  shown.classList.toggle("on", on);
}

function notice(text) {
  const shown = document.getElementById("notice");
  shown.textContent = text;
  shown.hidden = false;
  clearTimeout(notice.timer);
  notice.timer = setTimeout(() => (shown.hidden = true), 6000);
}

// ---------------------------------------------------------------- login

async function start() {
  events?.close();
  let who;
  try {
    who = await ask("/api/session");
  } catch (error) {
    live(false);
    main.replaceChildren(h("p", { class: "quiet" }, `No answer: ${error.message}. Trying again.`));
    setTimeout(start, 2000);
    return;
  }
  state.admin = who.admin;
  state.token = who.token ?? "";
  document.getElementById("nav").hidden = who.login;
  document.getElementById("logout").hidden = who.login || !state.passworded;
  if (who.login) {
    state.passworded = true;
    login();
  } else {
    listen();
    route();
  }
}

function login() {
  show(null);
  const user = h("input", { name: "user", autocomplete: "username", value: "default" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", autofocus: "" });
  const form = h("form", { class: "card login" },
    h("h1", {}, "This broker wants a password"),
    h("label", {}, "User", user), h("label", {}, "Password", password),
    h("button", { class: "main" }, "Log in"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await ask("/api/login", { method: "POST", body: JSON.stringify({ user: user.value, password: password.value }) });
      await start();
    } catch (error) {
      notice(error.message);
      password.select();
    }
  });
  main.replaceChildren(form);
  password.focus();
}

document.getElementById("logout").addEventListener("click", async () => {
  events?.close();
  show(null);
  await ask("/api/logout", { method: "POST" }).catch((error) => notice(error.message));
  start();
});

// ---------------------------------------------------------------- views

function show(next, ...content) {
  view?.stop?.();
  view = next;
  main.replaceChildren(...content);
}

// Asks again every two seconds while it is shown; draws what it got.
function polling(path, draw) {
  const box = h("div", {}, h("p", { class: "quiet" }, "Loading …"));
  let stopped = false, timer = 0, last = "";
  async function step() {
    try {
      const found = await ask(path());
      const text = JSON.stringify(found);
      // What is being read or selected is left alone while nothing changes.
      if (!stopped && text !== last) box.replaceChildren(...[draw(found)].flat());
      last = text;
    } catch (error) {
      if (!stopped) box.replaceChildren(h("p", { class: "quiet" }, error.message));
      last = "";
    }
    if (!stopped) timer = setTimeout(step, 2000);
  }
  step();
  return { box, again: () => { clearTimeout(timer); step(); }, stop: () => { stopped = true; clearTimeout(timer); } };
}

const link = (path, text) => h("a", { href: path }, text);
const streamLink = (row) => link(`#/stream/${row.ref}`, row.name);
const groupLink = (row) => link(`#/group/${row.stream_ref}/${row.ref}`, row.name);

const STREAM_COLUMNS = [
  ["Stream", (row) => streamLink(row), "name"],
  ["Rate", (row) => rate(row.rate), "n"],
  ["Last minutes", (row) => spark(row.spark), "optional"],
  ["Entries", (row) => count(row.length), "n"],
  ["Groups", (row) => count(row.groups), "n optional"],
  ["Memory", (row) => bytes(row.memory), "n"],
];
const GROUP_COLUMNS = [
  ["Group", (row) => groupLink(row), "name"],
  ["Stream", (row) => link(`#/stream/${row.stream_ref}`, row.stream), "name"],
  ["Lag", (row) => count(row.lag), "n"],
  ["Pending", (row) => count(row.pending), "n"],
  ["Consumers", (row) => count(row.consumers), "n optional"],
];

function overview() {
  const figures = h("div", { class: "grid" });
  const traffic = h("div"), latency = h("div"), memory = h("div"), clients = h("div");
  const streams = h("div"), groups = h("div");
  const update = (kind) => {
    const last = state.samples.at(-1), about = state.tables?.about ?? {};
    if (last) {
      figures.replaceChildren(
        figure("requests", rate(last.rates.commands)),
        figure("99 % within", micros(last.p99_us)),
        figure("memory", bytes(last.memory)),
        figure("clients", count(last.clients)),
        figure("keys", count(last.keys)),
        figure("streams", count(about.streams)),
        figure("pending", count(about.pending)),
        figure("up", age((about.uptime_s ?? 0) * 1000)));
    }
    if (kind !== "tables") {
      const of = (pick) => state.samples.map(pick);
      traffic.replaceChildren(chart([["requests", of((one) => one.rates.commands)]], rate));
      latency.replaceChildren(chart([["half within", of((one) => one.p50_us)], ["99 % within", of((one) => one.p99_us)]], micros));
      memory.replaceChildren(chart([["in use", of((one) => one.memory)]], bytes));
      clients.replaceChildren(chart([["connected", of((one) => one.clients)], ["blocked", of((one) => one.blocked)]], count));
    }
    if (kind !== "sample" && state.tables) {
      streams.replaceChildren(table(STREAM_COLUMNS, state.tables.streams.slice(0, 10), "No streams yet."));
      groups.replaceChildren(table(GROUP_COLUMNS, state.tables.groups.slice(0, 10), "No groups yet."));
    }
  };
  show({ update }, figures,
    h("div", { class: "wide" }, card("Throughput", traffic), card("Latency of commands", latency),
      card("Memory", memory), card("Clients", clients)),
    h("div", { class: "wide" }, card("Busiest streams", streams), card("Groups that are behind", groups)));
  update();
}

const figure = (name, value) => h("div", { class: "card figure" }, h("b", {}, value), h("span", {}, name));
const card = (title, ...content) => h("section", { class: "card" }, h("h2", {}, title), h("div", { class: "scroll" }, ...content));

function streamsView() {
  const match = h("input", { type: "search", placeholder: "part of the name", "aria-label": "Part of the name" });
  const sort = h("select", { "aria-label": "Order" },
    ...["name", "rate", "length", "memory", "groups"].map((name) => h("option", { value: name }, `by ${name}`)));
  let first = 0;
  const list = polling(
    () => `/api/streams?${new URLSearchParams({ match: match.value, sort: sort.value, first })}`,
    (found) => {
      const upto = Math.min(found.first + found.streams.length, found.total);
      const page = (text, at, able) => {
        const button = h("button", { type: "button" }, text);
        button.disabled = !able;
        button.addEventListener("click", () => { first = at; list.again(); });
        return button;
      };
      return [
        h("div", { class: "card scroll" }, table(STREAM_COLUMNS, found.streams, "No stream has such a name.")),
        h("p", { class: "bar quiet" }, found.total ? `${count(found.first + 1)} to ${count(upto)} of ${count(found.total)}` : "",
          page("Back", Math.max(0, first - 50), first > 0), page("On", first + 50, upto < found.total)),
      ];
    });
  for (const input of [match, sort]) input.addEventListener("input", () => { first = 0; list.again(); });
  show({ update() {}, stop: list.stop }, h("h1", {}, "Streams"), h("div", { class: "bar" }, match, sort), list.box);
}

function groupsView() {
  const box = h("div", { class: "card scroll" });
  const update = (kind) => {
    if (kind !== "sample" && state.tables) box.replaceChildren(table(GROUP_COLUMNS, state.tables.groups, "No groups yet."));
  };
  show({ update }, h("h1", {}, "Groups, the slowest first"), box);
  update();
}

function streamView(ref) {
  const list = polling(() => `/api/stream?key=${ref}`, (found) => [
    h("h1", {}, found.stream.name),
    h("div", { class: "grid" },
      figure("entries", count(found.stream.length)), figure("added", rate(found.stream.rate)),
      figure("memory", bytes(found.stream.memory)), figure("ever added", count(found.stream.added))),
    found.stream.dead ? h("p", {}, link(`#/dead/${ref}`, "These are dead letters: look at them")) : "",
    card("Groups", table(GROUP_COLUMNS.filter(([name]) => name !== "Stream"), found.groups, "No groups.")),
    h("p"),
    card("Newest entries", table([
      ["Id", (row) => h("span", { class: "id" }, row.id), ""],
      ["Age", (row) => ago(row.id, found.now), "n optional"],
      ["Fields", (row) => fields(row.fields), "name"],
    ], found.entries, "It is empty.")),
  ]);
  show({ update() {}, stop: list.stop }, list.box);
}

const fields = (pairs) => h("dl", { class: "fields" }, ...pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

function groupView(stream, group) {
  const query = `key=${stream}&group=${group}`;
  const list = polling(() => `/api/group?${query}`, (found) => [
    h("h1", {}, `${found.group.name} of `, link(`#/stream/${stream}`, found.group.stream)),
    h("div", { class: "grid" },
      figure("lag", count(found.group.lag)), figure("pending", count(found.group.pending)),
      figure("consumers", count(found.group.consumers)), figure("wait for a retry", count(found.group.returned))),
    card("Consumers", table([
      ["Consumer", (row) => row.name, "name"], ["Pending", (row) => count(row.pending), "n"],
      ["Asked", (row) => `${age(row.idle_ms)} ago`, "n"],
      ["Got something", (row) => (row.inactive_ms === null ? "-" : `${age(row.inactive_ms)} ago`), "n optional"],
    ], found.consumers, "Nobody reads.")),
    h("p"),
    card("Pending, the oldest first", table([
      ["Id", (row) => link(`#/pending/${stream}/${group}/${row.id}`, row.id), "id"],
      ["Age", (row) => ago(row.id, found.now), "n optional"],
      ["Consumer", (row) => row.consumer || "nobody", "name"], ["Held", (row) => age(row.idle_ms), "n"],
      ["Deliveries", (row) => count(row.deliveries), "n"],
    ], found.pending, "Nothing is pending.")),
  ]);
  show({ update() {}, stop: list.stop }, list.box);
}

function pendingView(stream, group, id) {
  const list = polling(() => `/api/pending?key=${stream}&group=${group}&id=${id}`, (found) => {
    const one = found.pending;
    const steps = [["added", ago(id, found.now), moment(id)]];
    for (const failure of found.history) steps.push([`failed at ${failure.worker}: ${failure.reason}`, `${age(found.now - failure.at_ms)} ago`, ""]);
    if (one) steps.push([`delivered for the ${nth(one.deliveries)} time to ${one.consumer || "nobody"}`, `${age(one.idle_ms)} ago`, ""]);
    else steps.push(["not pending any more: acknowledged, given up or never delivered", "", ""]);
    return [
      h("h1", {}, link(`#/group/${stream}/${group}`, found.stream), ` › entry ${id}`),
      card("What became of it", table([["", (row) => row[0], "name"], ["When", (row) => row[1], "n"], ["", (row) => row[2], "optional"]], steps, "")),
      h("p"),
      card("Fields", found.entry ? fields(found.entry.fields) : h("p", { class: "quiet" }, "The entry was deleted from the stream.")),
    ];
  });
  show({ update() {}, stop: list.stop }, list.box);
}

const nth = (number) => `${number}${["th", "st", "nd", "rd"][number % 100 > 10 && number % 100 < 14 ? 0 : Math.min(number % 10, 4) % 4] ?? "th"}`;

function deadView() {
  const box = h("div", { class: "card scroll" });
  const update = (kind) => {
    if (kind !== "sample" && state.tables) {
      box.replaceChildren(table([
        ["Stream", (row) => link(`#/dead/${row.ref}`, row.name), "name"],
        ["Letters", (row) => count(row.length), "n"], ["Rate", (row) => rate(row.rate), "n"],
      ], state.tables.dead, state.tables.about.streams_complete ? "No dead letters." : "Still looking …"));
    }
  };
  show({ update }, h("h1", {}, "Dead letters"), box);
  update();
}

function lettersView(ref) {
  const list = polling(() => `/api/dead?key=${ref}`, (found) => [
    h("h1", {}, link("#/dead", "Dead letters"), ` › ${found.stream}, the newest first`),
    state.admin ? "" : h("p", { class: "quiet" }, "Read-only: the server runs without http-admin."),
    ...found.letters.map((letter) => letterCard(ref, letter, found.now, list)),
    found.letters.length ? "" : h("p", { class: "quiet" }, "There are none."),
  ]);
  show({ update() {}, stop: list.stop }, list.box);
}

function letterCard(ref, letter, now, list) {
  const { reason = "", traceback, history, ...facts } = letter.facts;
  const act = (text, style, path, done) => {
    const button = h("button", { type: "button", class: style }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        notice(done(await change(path, { key: ref, ids: [letter.id] })));
      } catch (error) {
        notice(error.message);
      }
      list.again();
    });
    return button;
  };
  return h("section", { class: "card letter" },
    h("p", { class: "why" }, reason || "no reason is given"),
    fields([["letter", `${letter.id}, ${ago(letter.id, now)}`], ...Object.entries(facts).filter(([name]) => name !== "time")]),
    h("h2", {}, "Message"), fields(letter.fields),
    history ? h("details", {}, h("summary", {}, "Attempts"), h("pre", {}, history)) : "",
    traceback ? h("details", {}, h("summary", {}, "Traceback"), h("pre", {}, traceback)) : "",
    state.admin ? h("p", { class: "bar" },
      act("Retry", "main", "/api/dead/retry", ({ done }) => done[0]?.id ? `Back in ${done[0].stream} as ${done[0].id}` : done[0]?.why ?? "It was gone already"),
      act("Drop", "bad", "/api/dead/drop", ({ dropped }) => (dropped ? "Dropped" : "It was gone already"))) : "");
}

function tableView(title, path, columns, pick, empty) {
  const list = polling(() => path, (found) => h("div", { class: "card scroll" }, table(columns, pick(found), empty)));
  show({ update() {}, stop: list.stop }, h("h1", {}, title), list.box);
}

const slowView = () => tableView("Slow log", "/api/slowlog", [
  ["When", (row) => new Date(row.at_s * 1000).toLocaleTimeString(), ""], ["Took", (row) => micros(row.micros), "n"],
  ["Request", (row) => h("code", {}, row.words.join(" ")), "name"], ["Client", (row) => row.client, "optional"],
], (found) => found.slow, "Nothing was slow.");

const clientsView = () => tableView("Clients", "/api/clients", [
  ["Client", (row) => row.name || row.address, "name"], ["Library", (row) => row.library || "-", "optional"],
  ["Connected", (row) => age(row.age_s * 1000), "n optional"], ["Idle", (row) => age(row.idle_s * 1000), "n"],
  ["Last command", (row) => (row.blocked ? `${row.command} (waits)` : row.command), ""],
  ["Memory", (row) => bytes(row.memory), "n"],
], (found) => found.clients, "Nobody is connected.");

const memoryView = () => tableView("Memory", "/api/memory", [
  ["", (row) => row[0], ""],
  ["", (row) => (/^\d{4,}$/.test(row[1]) && !/_human|_ratio/.test(row[0]) ? bytes(Number(row[1])) : row[1]), "n"],
], (found) => Object.entries(found.memory).filter(([name]) => !name.endsWith("_human")), "");

// ---------------------------------------------------------------- which view

const ROUTES = [
  [/^#?\/?$/, overview],
  [/^#\/streams$/, streamsView],
  [/^#\/groups$/, groupsView],
  [/^#\/stream\/([\w-]*)$/, streamView],
  [/^#\/group\/([\w-]*)\/([\w-]*)$/, groupView],
  [/^#\/pending\/([\w-]*)\/([\w-]*)\/(\d+-\d+)$/, pendingView],
  [/^#\/dead$/, deadView],
  [/^#\/dead\/([\w-]*)$/, lettersView],
  [/^#\/slowlog$/, slowView],
  [/^#\/clients$/, clientsView],
  [/^#\/memory$/, memoryView],
];

function route() {
  for (const [pattern, draw] of ROUTES) {
    const found = pattern.exec(location.hash);
    if (!found) continue;
    for (const one of document.querySelectorAll("nav a")) {
      const current = one.hash === (location.hash || "#/") || (one.hash.length > 2 && location.hash.startsWith(`${one.hash.replace(/s$/, "")}`));
      current ? one.setAttribute("aria-current", "page") : one.removeAttribute("aria-current");
    }
    draw(...found.slice(1));
    return;
  }
  show(null, h("p", { class: "quiet" }, "There is no such view."));
}

window.addEventListener("hashchange", () => { if (!document.getElementById("nav").hidden) route(); });

const theme = document.getElementById("theme");
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
theme.addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
});

start();
