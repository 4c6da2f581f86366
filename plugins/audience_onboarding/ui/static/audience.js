/* View of one audience: required actions, forms, charts and load history. */

import { getAudience, listLoads } from "./api.js";
import { chartLibrary, ratesChart, rowsChart, segmentsChart } from "./charts.js";
import { emptyValue, h, hiddenText, preserveFocus, replaceChildrenKeyed, table } from "./dom.js";
import { externalLink } from "./embedding.js";
import { count, displayName, exact, fromNow, inDays, number, percent } from "./format.js";
import { badge } from "./health.js";
import { icon } from "./icons.js";
import { latestRequest } from "./latestRequest.js";
import { errorPage, staleNotice } from "./messages.js";
import { pager } from "./pager.js";

/** Choices for the number of loads in the charts; the API returns at most 400. */
const SHOWN = [30, 90, 400];
const DEFAULT_SHOWN = 90;
const PAGE = 25;

export function readParameters(parameters) {
  const shown = Number(parameters.get("show"));
  const offset = Number(parameters.get("offset"));
  return {
    show: SHOWN.includes(shown) ? shown : DEFAULT_SHOWN,
    offset: Number.isInteger(offset) && offset > 0 ? Math.floor(offset / PAGE) * PAGE : 0,
  };
}

const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value));

const rateList = (rates, attributes = {}) =>
  rates.map(({ identifier, rate }) =>
    h("div", attributes, rate === null ? emptyValue() : percent(rate), " ", h("span", { class: "muted" }, identifier)),
  );

function facts({ audience, segments, campaign, generated_at: now }) {
  return h(
    "dl",
    { class: "facts" },
    fact(
      "Last load",
      audience.last_load_date ?? emptyValue(),
      audience.last_confirmed_at &&
        h(
          "span",
          { class: "second", title: exact(audience.last_confirmed_at) },
          [audience.last_load_mode, fromNow(audience.last_confirmed_at, now)].filter(Boolean).join(" · "),
        ),
    ),
    fact("Rows sent", audience.rows_sent === null ? emptyValue() : number(audience.rows_sent)),
    fact(
      "Match rate",
      audience.match_rates.length ? rateList(audience.match_rates) : emptyValue(),
    ),
    fact("Vendor state", audience.vendor_state ?? emptyValue()),
    fact(
      "Segments",
      number(segments.length),
      audience.days_to_expiry !== null && h("span", { class: "second" }, `next expiry ${inDays(audience.days_to_expiry)}`),
    ),
    fact(
      "Next run",
      audience.is_paused
        ? "paused"
        : audience.next_run === null
          ? emptyValue()
          : [fromNow(audience.next_run, now), h("span", { class: "second" }, exact(audience.next_run))],
    ),
    fact("Platform", displayName(audience.platform)),
    campaign !== null && fact("Campaign", campaign),
    fact("Vendor id", audience.audience_id === null ? emptyValue() : h("span", { class: "code" }, audience.audience_id)),
    audience.owner !== null && fact("Owner", audience.owner),
  );
}

function overview(detail) {
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
        { class: "actions", "aria-label": "Required actions" },
        actions.map((action) =>
          h("li", {}, h("p", {}, action.description), externalLink(action, { class: "button main", "data-focus": `action:${action.label}` })),
        ),
      ),
    facts(detail),
    (forms.length > 0 || links.length > 0) &&
      h(
        "div",
        { class: "forms-and-links" },
        forms.length > 0 &&
          h(
            "div",
            { class: "row-of", role: "group", "aria-label": "Forms" },
            forms.map((form) => externalLink(form, { class: "button", "data-focus": `form:${form.label}` })),
          ),
        links.length > 0 &&
          h(
            "div",
            { class: "row-of links", role: "group", "aria-label": "Links" },
            links.map((link) => externalLink(link, { "data-focus": `link:${link.label}` })),
          ),
      ),
  ];
}

const RUN_SIGNS = {
  failed: ["cross", "bad"],
  success: ["check", "good"],
  running: ["cycle", "busy"],
  queued: ["dashed", "quiet"],
  skipped: ["right", "quiet"],
  dry_run: ["right", "quiet"],
  blocked: ["octagon", "warn"],
};

function runState(state) {
  const [sign, tone] = RUN_SIGNS[state] ?? ["dashed", "quiet"];
  return h("span", { class: `health tone-${tone}` }, icon(sign), state.replace(/_/g, " "));
}

function duration({ started_at: start, ended_at: end }) {
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
      table.head(["State", "Load", "Run", "Started", "Duration"].map((label) => table.column({}, label))),
      table.body(
        {},
        runs.map((run) =>
          table.row(
            table.cell({ "data-label": "State" }, runState(run.state)),
            table.cell({ "data-label": "Load" }, run.period ?? emptyValue()),
            table.name({ class: "code" }, externalLink({ label: run.run_id, href: run.link.href }, { "data-focus": `run:${run.run_id}` })),
            table.cell({ "data-label": "Started" }, run.started_at === null ? emptyValue() : exact(run.started_at)),
            table.cell({ "data-label": "Duration" }, run.started_at && run.ended_at ? duration(run) : emptyValue()),
          ),
        ),
      ),
    ),
  );

/** An S3 key with an optional line break after each slash. */
const breakable = (key) => key.split(/(?<=\/)/).flatMap((part) => [part, h("wbr")]);

/** A chart with its summary, and its numbers as a table. */
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
  let data = null;
  let chart = null;
  let closed = false;

  function fillTable() {
    if (numbers.hidden || data === null) return;
    replaceChildrenKeyed(numbers, [data.columns, data.rows], () =>
      h(
        "table",
        { "aria-labelledby": `${id}-title` },
        h("thead", {}, h("tr", {}, data.columns.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          data.rows.map(([name, ...values]) =>
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
    if (data === null || holder.hidden) return;
    let Chart;
    try {
      Chart = await chartLibrary();
    } catch {
      // The table does not need the library.
      if (numbers.hidden && !closed) toggle.click();
      return;
    }
    if (closed || data === null) return;
    if (data.height) holder.style.height = data.height;
    const config = data.config();
    chart?.destroy();
    chart = new Chart(canvas, config);
  }

  return {
    figure,
    /** @param next chart data, null for an empty chart; @param emptyText summary of an empty chart */
    show(next, emptyText) {
      const unchanged = JSON.stringify([next?.summary, next?.rows]) === JSON.stringify([data?.summary, data?.rows]);
      data = next;
      summary.textContent = next?.summary ?? emptyText;
      toggle.hidden = next === null;
      if (next === null) {
        holder.hidden = numbers.hidden = true;
        toggle.setAttribute("aria-expanded", "false");
      } else if (numbers.hidden) {
        holder.hidden = false;
      }
      fillTable();
      if (!unchanged) draw();
    },
    updateColours: draw,
    close() {
      closed = true;
      chart?.destroy();
    },
  };
}

/**
 * @param main container of the view
 * @param go called with the new hash
 * @param key of the audience
 * @param tableHash hash of the link to the table
 */
export function audienceView(main, go, key, tableHash) {
  let state = null;
  let shown = null;
  const requests = latestRequest();
  const expanded = new Set();

  const baseHash = `#/audiences/${encodeURIComponent(key)}`;
  function change(changes) {
    const next = { ...state, ...changes };
    const query = new URLSearchParams();
    if (next.show !== DEFAULT_SHOWN) query.set("show", next.show);
    if (next.offset) query.set("offset", next.offset);
    go(query.size ? `${baseHash}?${query}` : baseHash);
  }

  const heading = h("h1", { tabindex: "-1" }, key);
  const name = h("span", { class: "code muted" });
  const crumb = h("span", { "aria-current": "page" }, key);
  const updated = h("p", { class: "muted small aside" });
  const notice = h("div");
  const summary = h("div");
  const charts = {
    rows: chartBox("rows", "Rows per load"),
    rates: chartBox("rates", "Match rate per identifier"),
    segments: chartBox("segments", "Segments", { wide: true }),
  };
  const shownSelect = h(
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
        h("span", { class: "end" }, h("label", { for: "show" }, "Loads"), shownSelect),
      ),
      h("div", { class: "charts" }, charts.rows.figure, charts.rates.figure, charts.segments.figure),
    ),
    runs,
    history,
  );
  const loading = h("p", { class: "muted", role: "status" }, "Loading …");
  main.replaceChildren(
    h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: tableHash }, "Audiences"), h("span", { "aria-hidden": "true" }, " / "), crumb),
    h("div", { class: "head" }, heading, name, updated),
    loading,
    notice,
    parts,
  );
  document.title = `${key} · Audiences`;

  function rejects(load, index) {
    const reasons = Object.entries(load.rejected_by_reason).sort(([, one], [, other]) => other - one);
    if (!load.rejected || !reasons.length) return number(load.rejected);
    const id = `rejects-${index}`;
    const loadId = `${load.period} ${load.mode}`;
    const list = h(
      "dl",
      { class: "reasons", id, hidden: !expanded.has(loadId) },
      reasons.map(([reason, rows]) => [h("dt", { class: "code" }, reason), h("dd", {}, number(rows))]),
    );
    const arrow = h("span", {}, icon(expanded.has(loadId) ? "down" : "right"));
    const opener = h(
      "button",
      {
        type: "button",
        class: "opener",
        "aria-expanded": String(expanded.has(loadId)),
        "aria-controls": id,
        "data-focus": `rejects:${loadId}`,
        click: () => {
          list.hidden = !list.hidden;
          if (list.hidden) expanded.delete(loadId);
          else expanded.add(loadId);
          opener.setAttribute("aria-expanded", String(!list.hidden));
          arrow.replaceChildren(icon(list.hidden ? "right" : "down"));
        },
      },
      arrow,
      number(load.rejected),
      hiddenText(" rejected rows by reason"),
    );
    // A file on a worker has a path but no link.
    const path = load.rejects && !load.rejects.href && h("p", { class: "second code" }, breakable(load.rejects.label));
    return h("div", {}, opener, list, path);
  }

  function loadRow(load, index) {
    const cell = (label, content, more = {}) => table.cell({ "data-label": label, ...more }, content);
    const amount = (label, content) => cell(label, content, { class: "number" });
    const loadId = `${load.period} ${load.mode}`;
    return table.row(
      table.name(
        {},
        h("span", { class: "nowrap" }, load.period),
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
          ? h("span", {}, rateList(load.match_rates, { class: "nowrap" }))
          : emptyValue(),
      ),
      cell(
        "Files",
        load.files.length
          ? h(
              "ul",
              { class: "keys code" },
              load.files.map((link) => h("li", {}, externalLink({ ...link, label: breakable(link.label) }, { "data-focus": `key:${loadId}:${link.label}` }))),
            )
          : emptyValue(),
        { class: load.files.length ? null : "empty" },
      ),
      cell(
        "Links",
        h(
          "span",
          { class: "row-of links" },
          load.run && externalLink({ ...load.run, label: "Run" }, { title: load.run.label, "data-focus": `run:${loadId}` }),
          load.rejects?.href &&
            externalLink({ ...load.rejects, label: "Rejects" }, { title: load.rejects.label, "data-focus": `list:${loadId}` }),
        ),
      ),
    );
  }

  const COLUMNS = ["Load", "Mode", "Read", "Sent", "Duplicates", "Rejected", "Match rate", "Files", "Links"];
  const NUMBERS = new Set(["Read", "Sent", "Duplicates", "Rejected"]);

  function showHistory({ loads, total }) {
    const { offset } = state;
    replaceChildrenKeyed(history, [loads, total, offset], () => [
      h(
        "div",
        { class: "over" },
        h("h2", { id: "history-title" }, "Load history"),
        h("span", { class: "muted", role: "status" }, total === 0 ? "" : `${number(offset + 1)}–${number(offset + loads.length)} of ${count(total, "load")}`),
      ),
      total === 0
        ? h("p", { class: "muted" }, "No load is confirmed yet.")
        : h(
            "div",
            { class: "box cards", role: "group", tabindex: "0", "aria-label": "Load history, scrolls sideways" },
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
    const { offset } = state;
    if (offset > 0 && page.total <= offset) {
      change({ offset: Math.max(0, Math.floor((page.total - 1) / PAGE) * PAGE) });
      return;
    }
    shown = detail;
    loading.remove();
    notice.replaceChildren();
    parts.hidden = false;
    const { audience, segments, recent_runs: recent, generated_at: now } = detail;
    heading.textContent = crumb.textContent = audience.title;
    name.textContent = audience.title === audience.key ? "" : audience.key;
    document.title = `${audience.title} · Audiences`;
    updated.textContent = `Updated ${exact(now)}`;
    const { generated_at: _, ...rest } = detail;
    replaceChildrenKeyed(summary, [rest, Math.floor(new Date(now) / 60000)], () => overview(detail));
    shownSelect.value = state.show;
    charts.rows.show(rowsChart(loads.loads), "No load is confirmed yet.");
    charts.rates.show(ratesChart(loads.loads), "No match rate is known yet.");
    charts.segments.show(segmentsChart(segments, now), "The audience has no segments.");
    runs.hidden = recent.length === 0;
    replaceChildrenKeyed(runs, [recent], () => [
      h("div", { class: "over" }, h("h2", { id: "runs-title" }, "Runs without a confirmed load")),
      runsTable(recent),
    ]);
    showHistory(page);
  }

  function showError(error, quiet) {
    if (shown && (quiet || error.kind === "network" || error.kind === "server")) {
      preserveFocus(notice, () => notice.replaceChildren(staleNotice(error, reload, exact(shown.generated_at))));
      return;
    }
    shown = null;
    loading.remove();
    parts.hidden = true;
    updated.textContent = "";
    notice.replaceChildren(errorPage(error, reload));
  }

  async function fetchAll(signal) {
    const [detail, loads] = await Promise.all([getAudience(key, signal), listLoads(key, state.show, 0, signal)]);
    const { offset } = state;
    const beyond = offset + PAGE > loads.loads.length && loads.total > loads.loads.length;
    const page = beyond
      ? await listLoads(key, PAGE, offset, signal)
      : { total: loads.total, loads: loads.loads.slice(offset, offset + PAGE) };
    return { detail, loads, page };
  }

  const reload = ({ quiet = false } = {}) => requests.send(fetchAll, show, (error) => showError(error, quiet === true));

  return {
    heading,
    navigate(parameters) {
      state = readParameters(parameters);
      return reload();
    },
    refresh: () => reload({ quiet: true }),
    updateColours() {
      for (const chart of Object.values(charts)) chart.updateColours();
    },
    close() {
      requests.close();
      for (const chart of Object.values(charts)) chart.close();
    },
  };
}
