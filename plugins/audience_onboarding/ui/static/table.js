/* Table of all audiences. Search, filters, order and page are stored in the URL only. */

import { listAudiences } from "./api.js";
import { emptyValue, h, hiddenText, preserveFocus, replaceChildrenKeyed, table } from "./dom.js";
import { bestRate, count, displayName, exact, fromNow, inDays, number, percent, timeZone } from "./format.js";
import { HEALTH_STATES, badge, healthLabel, isProblem } from "./health.js";
import { icon } from "./icons.js";
import { latestRequest } from "./latestRequest.js";
import { errorPage, staleNotice } from "./messages.js";
import { pager } from "./pager.js";
import { sparkline, trendText } from "./sparkline.js";

const SIZES = [25, 50, 100, 200];
const DEFAULT_SIZE = 50;
const DEFAULT_SORT = "health";
const SEARCH_DELAY_MS = 250;
const SOON_DAYS = 7;

const COLUMNS = [
  { sort: "health", label: "Health" },
  { sort: "title", label: "Audience" },
  { sort: "platform", label: "Platform" },
  { sort: "vendor_state", label: "Vendor state" },
  { sort: "last_load_date", label: "Last load" },
  { sort: "rows_sent", label: "Rows", numeric: true },
  { sort: "match_rate", label: "Match rate", numeric: true },
  { sort: "segments", label: "Segments", numeric: true },
  { sort: "days_to_expiry", label: "Next expiry" },
  { sort: "next_run", label: "Next run" },
];

export const isFiltered = ({ search, platform, owner, health }) => Boolean(search || platform || owner || health.length);

/** Parse the URL's parameters; invalid values are ignored. */
export function readParameters(parameters) {
  const size = Number(parameters.get("limit"));
  const offset = Number(parameters.get("offset"));
  const sort = parameters.get("sort") ?? DEFAULT_SORT;
  return {
    search: parameters.get("search") ?? "",
    platform: parameters.get("platform") ?? "",
    owner: parameters.get("owner") ?? "",
    health: [...new Set(parameters.getAll("health"))].filter((name) => HEALTH_STATES.includes(name)),
    sort: COLUMNS.some((column) => column.sort === sort.replace(/^-/, "")) ? sort : DEFAULT_SORT,
    limit: SIZES.includes(size) ? size : DEFAULT_SIZE,
    offset: Number.isInteger(offset) && offset > 0 ? offset : 0,
  };
}

function hashFor(state) {
  const query = new URLSearchParams();
  for (const name of ["search", "platform", "owner"]) if (state[name]) query.set(name, state[name]);
  for (const name of state.health) query.append("health", name);
  if (state.sort !== DEFAULT_SORT) query.set("sort", state.sort);
  if (state.limit !== DEFAULT_SIZE) query.set("limit", state.limit);
  if (state.offset) query.set("offset", state.offset);
  return query.size ? `#/?${query}` : "#/";
}

export const audienceHash = (key) => `#/audiences/${encodeURIComponent(key)}`;

function loadCell(row) {
  if (row.last_load_date === null) return emptyValue();
  return [
    h("span", { class: "nowrap" }, row.last_load_date),
    h(
      "span",
      { class: "second", title: row.last_confirmed_at && `Confirmed ${exact(row.last_confirmed_at)}` },
      row.last_load_mode,
    ),
  ];
}

function rateCell(row) {
  const best = bestRate(row.match_rates);
  const trend = trendText(row.trend);
  return h(
    "span",
    { class: "rate", title: trend && `Match rate ${trend}` },
    sparkline(row.trend),
    best === null
      ? h("span", {}, emptyValue())
      : h("span", {}, percent(best.rate), h("span", { class: "second nowrap" }, best.identifier)),
    trend && hiddenText(`, ${trend}`),
  );
}

function expiryCell({ days_to_expiry: days }) {
  if (days === null) return emptyValue();
  if (days > SOON_DAYS) return h("span", { class: "nowrap" }, inDays(days));
  return h("span", { class: "nowrap soon", title: "Ends within a week" }, icon("calendar"), inDays(days));
}

function nextRunCell(row, now) {
  if (row.is_paused) return h("span", { class: "tag" }, "paused");
  if (row.next_run === null) return emptyValue();
  return [
    h("span", { class: "nowrap" }, fromNow(row.next_run, now)),
    h("span", { class: "second nowrap", title: exact(row.next_run) }, exact(row.next_run, { zone: false })),
  ];
}

function audienceRow(row, now) {
  const cell = (label, content, { numeric = false, empty = false } = {}) =>
    table.cell({ "data-label": label, class: `${numeric ? "number" : ""} ${empty ? "empty" : ""}`.trim() || null }, content);
  return table.row(
    table.cell(
      { class: "verdict-cell" },
      badge(row.health, row.reason),
      isProblem(row.health) && h("span", { class: "reason", "aria-hidden": "true", title: row.reason }, row.reason),
    ),
    table.name(
      { class: "name" },
      h("a", { href: audienceHash(row.key), "data-focus": `open:${row.key}` }, row.title),
      h("span", { class: "second code" }, row.key),
    ),
    cell("Platform", h("span", {}, h("span", { class: "nowrap" }, displayName(row.platform)), row.owner && h("span", { class: "second" }, row.owner))),
    cell("Vendor state", row.vendor_state ?? emptyValue(), { empty: row.vendor_state === null }),
    cell("Last load", h("span", {}, loadCell(row)), { empty: row.last_load_date === null }),
    cell("Rows", row.rows_sent === null ? emptyValue() : number(row.rows_sent), { numeric: true, empty: row.rows_sent === null }),
    cell("Match rate", rateCell(row), { numeric: true, empty: bestRate(row.match_rates) === null && trendText(row.trend) === null }),
    cell("Segments", number(row.segments), { numeric: true, empty: row.segments === 0 }),
    cell("Next expiry", expiryCell(row), { empty: row.days_to_expiry === null }),
    cell("Next run", h("span", {}, nextRunCell(row, now)), { empty: row.next_run === null && !row.is_paused }),
  );
}

const emptyPage = () =>
  h(
    "section",
    { class: "blank" },
    h("h2", {}, "No audiences yet"),
    h("p", {}, "Each audience is defined by a YAML file. Airflow creates its DAG, and this page shows it."),
    h(
      "ol",
      {},
      h("li", {}, "Create a file in ", h("code", {}, "include/audiences/"), ", named after the audience:"),
    ),
    h(
      "pre",
      { tabindex: "0", "aria-label": "Example of a definition" },
      [
        "# include/audiences/newsletter_nl.yaml",
        "platform: digital_audience",
        "name: Newsletter subscribers NL",
        "campaign: {name: Always-on CRM}",
        "source:",
        "  path: s3://crm-exports/newsletter/{load_date}.csv",
        "  columns: {email: E-mail}",
      ].join("\n"),
    ),
    h(
      "ol",
      { start: 2 },
      h("li", {}, "Within a minute, Airflow adds the DAG ", h("code", {}, "onboard_newsletter_nl"), "."),
      h("li", {}, "Unpause the DAG and trigger it, first with ", h("i", {}, "Dry run"), "."),
    ),
    h("p", { class: "muted" }, "Audiences whose DAG you may not read are not shown."),
  );

const noMatch = (clear) =>
  h(
    "section",
    { class: "blank" },
    h("h2", {}, "No audience matches"),
    h("p", {}, "No audience matches the search and all filters."),
    h("button", { type: "button", class: "button", click: clear }, "Clear search and filters"),
  );

/**
 * @param main container of the view
 * @param go called with the new hash, and whether it replaces the current history entry
 * @param back key of the audience that the user returns from, null if there is none
 */
export function tableView(main, go, back) {
  let state = null;
  let shown = null;
  let searchTimer = null;
  const requests = latestRequest();

  const change = (changes, { replace = false } = {}) => go(hashFor({ ...state, offset: 0, ...changes }), replace);
  const clear = () => {
    clearTimeout(searchTimer);
    searchTimer = null;
    change({ search: "", platform: "", owner: "", health: [] });
    search.focus();
  };

  const heading = h("h1", { tabindex: "-1" }, "Audiences");
  const status = h("p", { class: "muted", role: "status", id: "results" }, "Loading …");
  const updated = h("p", { class: "muted small aside" });
  const notice = h("div");
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "Title, key or id",
    autocomplete: "off",
    spellcheck: "false",
    "aria-controls": "audiences",
    input: () => {
      clearTimeout(searchTimer);
      searchTimer = setTimeout(() => {
        searchTimer = null;
        change({ search: search.value.trim() }, { replace: true });
      }, SEARCH_DELAY_MS);
    },
  });
  const filterSelect = (name) => h("select", { id: name, change: (event) => change({ [name]: event.target.value }) });
  const platform = filterSelect("platform");
  const owner = filterSelect("owner");
  const order = h("select", { id: "order", change: (event) => change({ sort: event.target.value }) });
  order.append(
    ...COLUMNS.flatMap(({ sort, label }) => [
      h("option", { value: sort }, `${label}, ascending`),
      h("option", { value: `-${sort}` }, `${label}, descending`),
    ]),
  );
  const field = (label, control, extra = "") =>
    h("div", { class: `field ${extra}`.trim() }, h("label", { for: control.id }, label), control);
  const tools = h(
    "div",
    { class: "tools", role: "search", "aria-label": "Audiences" },
    field("Search", search, "search"),
    field("Platform", platform),
    field("Owner", owner),
    field("Sort by", order, "only-cards"),
  );
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Health" });
  const body = h("div", { id: "audiences" });
  main.replaceChildren(h("div", { class: "head" }, heading, status, updated), notice, tools, chips, body);
  document.title = "Audiences";

  function showChoices(select, all, values, selected) {
    const names = selected && !values.includes(selected) ? [...values, selected] : values;
    replaceChildrenKeyed(select, [names], () => [
      h("option", { value: "" }, all),
      ...names.map((name) => h("option", { value: name }, select === platform ? displayName(name) : name)),
    ]);
    select.value = selected;
    // A filter with a single value is useless.
    select.closest(".field").hidden = names.length < 2 && !selected;
  }

  function chip(label, amount, pressed, onClick, health = null) {
    return h(
      "button",
      {
        type: "button",
        class: `chip ${health ? `tone-${healthLabel(health).tone}` : ""}`.trim(),
        "aria-pressed": String(pressed),
        "data-focus": `chip:${health}`,
        click: onClick,
      },
      health && icon(healthLabel(health).sign),
      label,
      h("span", { class: "count" }, number(amount)),
    );
  }

  function showChips(counts) {
    const all = Object.values(counts).reduce((sum, amount) => sum + amount, 0);
    replaceChildrenKeyed(chips, [counts, state.health], () => [
      chip("All", all, state.health.length === 0, () => change({ health: [] })),
      ...HEALTH_STATES.filter((name) => counts[name] || state.health.includes(name)).map((name) => {
        const pressed = state.health.includes(name);
        const others = state.health.filter((other) => other !== name);
        return chip(
          healthLabel(name).text,
          counts[name] ?? 0,
          pressed,
          () => change({ health: pressed ? others : [...others, name] }),
          name,
        );
      }),
    ]);
  }

  function header({ sort, label, numeric }) {
    const [column, descending] = [state.sort.replace(/^-/, ""), state.sort.startsWith("-")];
    const sorted = column === sort;
    return table.column(
      {
        class: `sortable ${numeric ? "number narrow" : ""}`.trim(),
        "aria-sort": sorted ? (descending ? "descending" : "ascending") : null,
      },
      h(
        "button",
        {
          type: "button",
          class: "sort",
          "data-focus": `sort:${sort}`,
          click: () => change({ sort: sorted && !descending ? `-${sort}` : sort }),
        },
        label,
        icon("up", "arrow"),
      ),
    );
  }

  function show(data) {
    const { audiences, total, offset, limit, generated_at: now } = data;
    if (total > 0 && offset >= total) {
      change({ offset: Math.floor((total - 1) / limit) * limit }, { replace: true });
      return;
    }
    shown = data;
    notice.replaceChildren();
    updated.textContent = `Updated ${exact(now)}`;
    showChoices(platform, "All platforms", data.platforms, state.platform);
    showChoices(owner, "All owners", data.owners, state.owner);
    showChips(data.by_health);
    const empty = total === 0 && !isFiltered(state);
    tools.hidden = empty;
    chips.hidden = empty;
    const range = total > audiences.length ? `${number(offset + 1)}–${number(offset + audiences.length)} of ` : "";
    const text = total === 0 ? (empty ? "" : "No audience matches") : `${range}${count(total, "audience")}`;
    // Screen readers announce each assignment, so assign changes only.
    if (status.textContent !== text) status.textContent = text;
    body.removeAttribute("aria-busy");
    replaceChildrenKeyed(body, [audiences, total, offset, limit, state, minuteOf(now)], () => {
      if (total === 0) return empty ? emptyPage() : noMatch(clear);
      return [
        h(
          "div",
          { class: "box cards" },
          table.table(
            { "aria-label": "Audiences" },
            table.head(COLUMNS.map(header)),
            table.body({}, audiences.map((row) => audienceRow(row, now))),
          ),
        ),
        pager({
          name: "audiences",
          total,
          offset,
          limit,
          go: (target) => {
            change({ offset: target });
            window.scrollTo(0, 0);
          },
          sizes: SIZES,
          resize: (size) => change({ limit: size }),
        }),
        h("p", { class: "muted small note" }, `Times are in ${timeZone}, the time zone of this browser.`),
      ];
    });
    if (back !== null) {
      const link = [...body.querySelectorAll("[data-focus]")].find(({ dataset }) => dataset.focus === `open:${back}`);
      link?.focus();
      link?.scrollIntoView({ block: "nearest" });
      back = null;
    }
  }

  function showError(error, quiet) {
    body.removeAttribute("aria-busy");
    if (quiet && shown) {
      preserveFocus(notice, () => notice.replaceChildren(staleNotice(error, reload, exact(shown.generated_at))));
      return;
    }
    status.textContent = "";
    updated.textContent = "";
    notice.replaceChildren();
    // Search and filters stay, so that a user who is typing keeps the focus.
    tools.hidden = chips.hidden = shown === null;
    body.childrenKey = null;
    preserveFocus(body, () => body.replaceChildren(errorPage(error, reload)));
  }

  function reload({ quiet = false } = {}) {
    if (!quiet) body.setAttribute("aria-busy", "true");
    return requests.send(
      (signal) => listAudiences(state, signal),
      show,
      (error) => showError(error, quiet === true),
    );
  }

  return {
    heading,
    navigate(parameters) {
      state = readParameters(parameters);
      // While the user types, an older search must not overwrite the input.
      if (searchTimer === null && search.value.trim() !== state.search) search.value = state.search;
      order.value = state.sort;
      return reload();
    },
    refresh: () => reload({ quiet: true }),
    /** The style sheet updates all colours of the table. */
    updateColours() {},
    close() {
      clearTimeout(searchTimer);
      requests.close();
    },
  };
}

/** Relative times are rendered again once a minute. */
const minuteOf = (now) => Math.floor(new Date(now) / 60000);
