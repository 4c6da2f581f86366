/* Which of the two pages is shown, and when it is asked anew. The address behind the # says all. */

import { audienceView } from "./audience.js";
import { settleIn, tellHost } from "./frame.js";
import { tableView } from "./table.js";

const REFRESH_MS = 30_000;

const main = document.getElementById("main");
let view = null;
let refreshed = 0;
let tableHash = "#/";

/** "#/?search=a" is the table, "#/audiences/<key>?show=30" is one audience. */
function read(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const found = /^\/audiences\/([^/]+)$/.exec(path);
  try {
    if (found) return { key: decodeURIComponent(found[1]), parameters };
  } catch {
    // A lone % is no key.
  }
  return { key: null, parameters };
}

function go(hash, replace = false) {
  if (hash === window.location.hash) return;
  if (!replace) {
    window.location.hash = hash;
    return;
  }
  window.history.replaceState(null, "", hash);
  render();
}

function render() {
  const { key, parameters } = read(window.location.hash);
  if (!view || view.key !== key) {
    const before = view;
    before?.close();
    view = key === null ? tableView(main, go, before?.key ?? null) : audienceView(main, go, key, tableHash);
    view.key = key;
    if (before) {
      window.scrollTo(0, 0);
      view.heading.focus({ preventScroll: true });
    }
  }
  if (key === null) tableHash = window.location.hash || "#/";
  refreshed = Date.now();
  tellHost();
  view.turn(parameters);
}

function refresh() {
  if (document.visibilityState !== "visible" || Date.now() - refreshed < REFRESH_MS) return;
  refreshed = Date.now();
  view.refresh();
}

// Behind the # is the page's own address: the link must not change it.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
  main.scrollIntoView();
});
settleIn(() => go("#/"));
window.addEventListener("hashchange", render);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, 1000);
document.documentElement.addEventListener("themechange", () => view.recolour());
render();
