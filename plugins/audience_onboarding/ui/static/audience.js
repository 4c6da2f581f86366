/* The page of one audience: what waits for a person, what may be started, charts, and its history. */

import { getAudience, listLoads } from "./api.js";
import { asker } from "./asking.js";
import { chartLibrary, ratesChart, rowsChart, segmentsChart } from "./charts.js";
import { h, hiddenText, keepingFocus, refill, table, unknown } from "./dom.js";
import { count, exact, fromNow, inDays, named, number, percent } from "./format.js";
import { out } from "./frame.js";
import { badge } from "./health.js";
import { icon } from "./icons.js";
import { blankFor, staleFor } from "./notices.js";
import { pager } from "./pager.js";

/** How many loads the charts show; the API gives 400 at most. */
const SHOWN = [30, 90, 400];
const USUAL_SHOWN = 90;
const PAGE = 25;

export function readParameters(parameters) {
  const shown = Number(parameters.get("show"));
  const offset = Number(parameters.get("offset"));
  return {
    show: SHOWN.includes(shown) ? shown : USUAL_SHOWN,
    offset: Number.isInteger(offset) && offset > 0 ? Math.floor(offset / PAGE) * PAGE : 0,
  };
}

const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

function facts({ audience, segments, campaign, now }) {
  const known = audience.match_rates;
  return h(
    "dl",
    { class: "facts" },
    fact(
      "Last load",
      audience.last_load_date ?? unknown(),
      audience.last_confirmed_at &&
        h(
          "span",
          { class: "second", title: exact(audience.last_confirmed_at) },
          [audience.last_load_mode, fromNow(audience.last_confirmed_at, now)].filter(Boolean).join(" · "),
        ),
    ),
    fact("Rows sent", audience.rows_sent === null ? unknown() : number(audience.rows_sent)),
    fact(
      "Match rate",
      known.length
        ? known.map(({ identifier, share }) =>
            h("div", {}, share === null ? unknown() : percent(share), " ", h("span", { class: "muted" }, identifier)),
          )
        : unknown(),
    ),
    fact("Vendor state", audience.state ?? unknown()),
    fact(
      "Segments",
      number(segments.length),
      audience.days_to_end !== null && h("span", { class: "second" }, `first ends ${inDays(audience.days_to_end)}`),
    ),
    fact(
      "Next run",
      audience.is_paused
        ? "paused"
        : audience.next_run === null
          ? unknown()
          : [fromNow(audience.next_run, now), h("span", { class: "second" }, exact(audience.next_run))],
    ),
    fact("Platform", named(audience.platform)),
    campaign !== null && fact("Campaign", campaign),
    fact("Id at the vendor", audience.audience_id === null ? unknown() : h("span", { class: "code" }, audience.audience_id)),
    audience.owner !== null && fact("Owner", audience.owner),
  );
}

function top(detail) {
  const { audience, description, actions, forms, links } = detail;
  return [
    h(
      "div",
      { class: "verdict" },
      badge(audience.health),
      h("span", {}, audience.reason),
    ),
    description !== null && h("p", { class: "muted" }, description),
    actions.length > 0 &&
      h(
        "ul",
        { class: "actions", "aria-label": "Waits for a person" },
        actions.map((action) =>
          h("li", {}, h("p", {}, action.why), out(action, { class: "button main", "data-focus": `action:${action.label}` })),
        ),
      ),
    facts(detail),
    (forms.length > 0 || links.length > 0) &&
      h(
        "div",
        { class: "ways" },
        forms.length > 0 &&
          h(
            "div",
            { class: "row-of", role: "group", "aria-label": "Forms" },
            forms.map((form) => out(form, { class: "button", "data-focus": `form:${form.label}` })),
          ),
        links.length > 0 &&
          h(
            "div",
            { class: "row-of links", role: "group", "aria-label": "Links" },
            links.map((link) => out(link, { "data-focus": `link:${link.label}` })),
          ),
      ),
  ];
}

const RUN_SIGNS = {
  failed: ["cross", "bad"],
  success: ["check", "good"],
  running: ["turning", "busy"],
  queued: ["dashed", "quiet"],
  skipped: ["right", "quiet"],
  dry_run: ["right", "quiet"],
  stopped: ["octagon", "warn"],
};

function runState(state) {
  const [sign, tone] = RUN_SIGNS[state] ?? ["dashed", "quiet"];
  return h("span", { class: `health tone-${tone}` }, icon(sign), state.replace(/_/g, " "));
}

function lasted({ started_at: start, ended_at: end }) {
  const seconds = Math.round((new Date(end) - new Date(start)) / 1000);
  if (seconds < 120) return `${number(seconds)} s`;
  return seconds < 7200 ? `${number(Math.round(seconds / 60))} min` : `${number(Math.round(seconds / 3600))} h`;
}

const runsTable = (runs) =>
  h(
    "div",
    { class: "box cards" },
    table.table(
      { "aria-labelledby": "runs-title" },
      table.head(["State", "Load", "Run", "Started", "Took"].map((label) => table.column({}, label))),
      table.body(
        {},
        runs.map((run) =>
          table.row(
            table.cell({ "data-label": "State" }, runState(run.state)),
            table.cell({ "data-label": "Load" }, run.days ?? unknown()),
            table.name({ class: "code" }, out({ label: run.run_id, href: run.link.href }, { "data-focus": `run:${run.run_id}` })),
            table.cell({ "data-label": "Started" }, run.started_at === null ? unknown() : exact(run.started_at)),
            table.cell({ "data-label": "Took" }, run.started_at && run.ended_at ? lasted(run) : unknown()),
          ),
        ),
      ),
    ),
  );

/** A key of S3, which may go on in the next line after each slash. */
const breakable = (key) => key.split(/(?<=\/)/).flatMap((part) => [part, h("wbr")]);

/** A chart with its words, and its numbers as a table. */
function chartBox(id, title, { wide = false } = {}) {
  const heading = h("h3", { id: `${id}-title` }, title);
  const summary = h("p", { class: "summary", id: `${id}-summary` });
  const canvas = h("canvas", { id: `${id}-canvas`, role: "img", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-summary` });
  const holder = h("div", { class: "canvas" }, canvas);
  const numbers = h("div", { class: "box", id: `${id}-table`, tabindex: "0", role: "group", "aria-label": `${title}, as a table`, hidden: true });
  const toggle = h(
    "button",
    {
      type: "button",
      class: "button plain",
      "aria-expanded": "false",
      "aria-controls": `${id}-table`,
      click: () => {
        numbers.hidden = !numbers.hidden;
        holder.hidden = !numbers.hidden;
        toggle.setAttribute("aria-expanded", String(!numbers.hidden));
        fillTable();
        if (!holder.hidden) draw();
      },
    },
    "Show as table",
    hiddenText(`: ${title}`),
  );
  const figure = h(
    "figure",
    { class: wide ? "chart wide" : "chart", "aria-labelledby": `${id}-title` },
    h("div", { class: "over" }, heading, toggle, summary),
    holder,
    numbers,
  );
  let told = null;
  let chart = null;
  let closed = false;

  function fillTable() {
    if (numbers.hidden || told === null) return;
    refill(numbers, [told.columns, told.rows], () =>
      h(
        "table",
        { "aria-labelledby": `${id}-title` },
        h("thead", {}, h("tr", {}, told.columns.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          told.rows.map(([name, ...values]) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, name),
              values.map((value) => h("td", {}, typeof value === "number" ? number(value) : value)),
            ),
          ),
        ),
      ),
    );
  }

  async function draw() {
    if (told === null || holder.hidden) return;
    let Chart;
    try {
      Chart = await chartLibrary();
    } catch {
      // The numbers are there without it.
      if (numbers.hidden && !closed) toggle.click();
      return;
    }
    if (closed || told === null) return;
    if (told.height) holder.style.height = told.height;
    const config = told.config();
    chart?.destroy();
    chart = new Chart(canvas, config);
  }

  return {
    figure,
    /** @param next what to show, null for nothing; @param instead what is said then */
    show(next, instead) {
      const same = JSON.stringify([next?.summary, next?.rows]) === JSON.stringify([told?.summary, told?.rows]);
      told = next;
      summary.textContent = next?.summary ?? instead;
      toggle.hidden = next === null;
      if (next === null) {
        holder.hidden = numbers.hidden = true;
        toggle.setAttribute("aria-expanded", "false");
      } else if (numbers.hidden) {
        holder.hidden = false;
      }
      fillTable();
      if (!same) draw();
    },
    recolour: draw,
    close() {
      closed = true;
      chart?.destroy();
    },
  };
}

/**
 * @param main where the page goes
 * @param go called with another hash, and whether it replaces the present one
 * @param key of the audience
 * @param tableHash where "back to the table" leads
 */
export function audienceView(main, go, key, tableHash) {
  let wanted = null;
  let shown = null;
  const asking = asker();
  const opened = new Set();

  const here = `#/audiences/${encodeURIComponent(key)}`;
  function change(changes) {
    const next = { ...wanted, ...changes };
    const query = new URLSearchParams();
    if (next.show !== USUAL_SHOWN) query.set("show", next.show);
    if (next.offset) query.set("offset", next.offset);
    go(query.size ? `${here}?${query}` : here);
  }

  const heading = h("h1", { tabindex: "-1" }, key);
  const name = h("span", { class: "code muted" });
  const crumb = h("span", { "aria-current": "page" }, key);
  const updated = h("p", { class: "muted small aside" });
  const trouble = h("div");
  const summary = h("div");
  const charts = {
    rows: chartBox("rows", "Rows per load"),
    rates: chartBox("rates", "Match rate per identifier"),
    segments: chartBox("segments", "Segments", { wide: true }),
  };
  const many = h(
    "select",
    { id: "show", change: (event) => change({ show: Number(event.target.value), offset: 0 }) },
    SHOWN.map((size) => h("option", { value: size }, `last ${size}`)),
  );
  const runs = h("section", { class: "part", "aria-labelledby": "runs-title" });
  const history = h("section", { class: "part", "aria-labelledby": "history-title" });
  const parts = h(
    "div",
    { hidden: true },
    summary,
    h(
      "section",
      { class: "part", "aria-labelledby": "charts-title" },
      h(
        "div",
        { class: "over" },
        h("h2", { id: "charts-title" }, "Over time"),
        h("span", { class: "end" }, h("label", { for: "show" }, "Loads"), many),
      ),
      h("div", { class: "charts" }, charts.rows.figure, charts.rates.figure, charts.segments.figure),
    ),
    runs,
    history,
  );
  const waiting = h("p", { class: "muted", role: "status" }, "Loading …");
  main.replaceChildren(
    h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: tableHash }, "Audiences"), h("span", { "aria-hidden": "true" }, " / "), crumb),
    h("div", { class: "head" }, heading, name, updated),
    waiting,
    trouble,
    parts,
  );
  document.title = `${key} · Audiences`;

  function rejects(load, index) {
    const reasons = Object.entries(load.rejected_by_reason).sort(([, one], [, other]) => other - one);
    if (!load.rejected || !reasons.length) return number(load.rejected);
    const id = `rejects-${index}`;
    const mark = `${load.days} ${load.mode}`;
    const list = h(
      "dl",
      { class: "reasons", id, hidden: !opened.has(mark) },
      reasons.map(([reason, rows]) => [h("dt", { class: "code" }, reason), h("dd", {}, number(rows))]),
    );
    const arrow = h("span", {}, icon(opened.has(mark) ? "down" : "right"));
    const opener = h(
      "button",
      {
        type: "button",
        class: "opener",
        "aria-expanded": String(opened.has(mark)),
        "aria-controls": id,
        "data-focus": `rejects:${mark}`,
        click: () => {
          list.hidden = !list.hidden;
          if (list.hidden) opened.delete(mark);
          else opened.add(mark);
          opener.setAttribute("aria-expanded", String(!list.hidden));
          arrow.replaceChildren(icon(list.hidden ? "right" : "down"));
        },
      },
      arrow,
      number(load.rejected),
      hiddenText(" rejected rows by reason"),
    );
    // A file on a worker: there is no link, only its path.
    const path = load.rejects && !load.rejects.href && h("p", { class: "second code" }, breakable(load.rejects.label));
    return h("div", {}, opener, list, path);
  }

  function loadRow(load, index) {
    const cell = (label, content, more = {}) => table.cell({ "data-label": label, ...more }, content);
    const amount = (label, content) => cell(label, content, { class: "number" });
    const mark = `${load.days} ${load.mode}`;
    return table.row(
      table.name(
        {},
        h("span", { class: "nowrap" }, load.days),
        load.confirmed_at !== null && h("span", { class: "second nowrap" }, `confirmed ${exact(load.confirmed_at)}`),
      ),
      cell("Mode", h("span", {}, load.mode, load.outcome !== "confirmed" && h("span", { class: "second" }, load.outcome))),
      amount("Read", number(load.rows_read)),
      amount("Sent", number(load.rows_sent)),
      amount("Duplicates", number(load.duplicates)),
      cell("Rejected", rejects(load, index), { class: "number rejects" }),
      cell(
        "Match rate",
        load.match_rates.length
          ? h(
              "span",
              {},
              load.match_rates.map(({ identifier, share }) =>
                h("div", { class: "nowrap" }, share === null ? unknown() : percent(share), " ", h("span", { class: "muted" }, identifier)),
              ),
            )
          : unknown(),
      ),
      cell(
        "Files",
        load.s3_keys.length
          ? h(
              "ul",
              { class: "keys code" },
              load.s3_keys.map((link) => h("li", {}, out({ ...link, label: breakable(link.label) }, { "data-focus": `key:${mark}:${link.label}` }))),
            )
          : unknown(),
        { class: load.s3_keys.length ? null : "empty" },
      ),
      cell(
        "Links",
        h(
          "span",
          { class: "row-of links" },
          load.run && out({ ...load.run, label: "Run" }, { title: load.run.label, "data-focus": `run:${mark}` }),
          load.rejects?.href &&
            out({ ...load.rejects, label: "Rejects" }, { title: load.rejects.label, "data-focus": `list:${mark}` }),
        ),
      ),
    );
  }

  const COLUMNS = ["Load", "Mode", "Read", "Sent", "Duplicates", "Rejected", "Match rate", "Files", "Links"];
  const NUMBERS = new Set(["Read", "Sent", "Duplicates", "Rejected"]);

  function showHistory({ loads, total }) {
    const { offset } = wanted;
    refill(history, [loads, total, offset], () => [
      h(
        "div",
        { class: "over" },
        h("h2", { id: "history-title" }, "Load a date range"),
        h("span", { class: "muted", role: "status" }, total === 0 ? "" : `${number(offset + 1)}–${number(offset + loads.length)} of ${count(total, "load")}`),
      ),
      total === 0
        ? h("p", { class: "muted" }, "No load is confirmed yet.")
        : h(
            "div",
            { class: "box cards", role: "group", tabindex: "0", "aria-label": "Load a date range, scrolls sideways" },
            table.table(
              { "aria-labelledby": "history-title" },
              table.head(COLUMNS.map((label) => table.column({ class: NUMBERS.has(label) ? "number" : null }, label))),
              table.body({}, loads.map(loadRow)),
            ),
          ),
      total > PAGE &&
        pager({
          name: "loads",
          total,
          offset,
          limit: PAGE,
          go: (target) => change({ offset: target }),
        }),
    ]);
  }

  function show({ detail, loads, page }) {
    const { offset } = wanted;
    if (offset > 0 && page.total <= offset) {
      change({ offset: Math.max(0, Math.floor((page.total - 1) / PAGE) * PAGE) });
      return;
    }
    shown = detail;
    waiting.remove();
    trouble.replaceChildren();
    parts.hidden = false;
    const { audience, segments, recent_runs: recent, now } = detail;
    heading.textContent = crumb.textContent = audience.title;
    name.textContent = audience.title === audience.key ? "" : audience.key;
    document.title = `${audience.title} · Audiences`;
    updated.textContent = `Updated ${exact(now)}`;
    const { now: _, ...rest } = detail;
    refill(summary, [rest, Math.floor(new Date(now) / 60000)], () => top(detail));
    many.value = wanted.show;
    charts.rows.show(rowsChart(loads.loads), "No load is confirmed yet.");
    charts.rates.show(ratesChart(loads.loads), "No match rate is known yet.");
    charts.segments.show(segmentsChart(segments, now), "There is no segment on any ad platform.");
    runs.hidden = recent.length === 0;
    refill(runs, [recent], () => [
      h("div", { class: "over" }, h("h2", { id: "runs-title" }, "Runs without a confirmed load")),
      runsTable(recent),
    ]);
    showHistory(page);
  }

  function fail(error, quiet) {
    if (shown && (quiet || error.kind === "network" || error.kind === "server")) {
      keepingFocus(trouble, () => trouble.replaceChildren(staleFor(error, ask, exact(shown.now))));
      return;
    }
    shown = null;
    waiting.remove();
    parts.hidden = true;
    updated.textContent = "";
    trouble.replaceChildren(blankFor(error, ask));
  }

  async function listAll(signal) {
    const [detail, loads] = await Promise.all([getAudience(key, signal), listLoads(key, wanted.show, 0, signal)]);
    const { offset } = wanted;
    const beyond = offset + PAGE > loads.loads.length && loads.total > loads.loads.length;
    const page = beyond
      ? await listLoads(key, PAGE, offset, signal)
      : { total: loads.total, loads: loads.loads.slice(offset, offset + PAGE) };
    return { detail, loads, page };
  }

  const ask = ({ quiet = false } = {}) => asking.ask(listAll, show, (error) => fail(error, quiet === true));

  return {
    heading,
    turn(parameters) {
      wanted = readParameters(parameters);
      return ask();
    },
    refresh: () => ask({ quiet: true }),
    recolour() {
      for (const chart of Object.values(charts)) chart.recolour();
    },
    close() {
      asking.close();
      for (const chart of Object.values(charts)) chart.close();
    },
  };
}
