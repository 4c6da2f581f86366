/* Shows the view of the URL's hash, and refreshes it. */

import { audienceView } from "./audience.js";
import { mountInHost, notifyHost } from "./embedding.js";
import { tableView } from "./table.js";

const REFRESH_MS = 30_000;

const main = document.getElementById("main");
let view = null;
let refreshedAt = 0;
let tableHash = "#/";

/** "#/?search=a" is the table, "#/audiences/<key>?show=30" is one audience. */
function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const match = /^\/audiences\/([^/]+)$/.exec(path);
  try {
    if (match) return { key: decodeURIComponent(match[1]), parameters };
  } catch {
    // A lone % is not a valid key.
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
  const { key, parameters } = parseHash(window.location.hash);
  if (!view || view.key !== key) {
    const previous = view;
    previous?.close();
    view = key === null ? tableView(main, go, previous?.key ?? null) : audienceView(main, go, key, tableHash);
    view.key = key;
    if (previous) {
      window.scrollTo(0, 0);
      view.heading.focus({ preventScroll: true });
    }
  }
  if (key === null) tableHash = window.location.hash || "#/";
  refreshedAt = Date.now();
  notifyHost();
  view.navigate(parameters);
}

function refresh() {
  if (document.visibilityState !== "visible" || Date.now() - refreshedAt < REFRESH_MS) return;
  refreshedAt = Date.now();
  view.refresh();
}

// The hash selects the view, so the link must not change it.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
  main.scrollIntoView();
});
mountInHost(() => go("#/"));
window.addEventListener("hashchange", render);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, 1000);
document.documentElement.addEventListener("themechange", () => view.updateColours());
render();
