/*
 * Embedding in Airflow. Its navigation shows this page in an iframe whose sandbox forbids navigating the parent window and
 * opening new ones. External links are therefore followed by a link in the parent document, which has the same origin.
 * Opened directly, the page has plain links.
 */

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** Airflow's window if it embeds this page, otherwise null. */
export const host = (() => {
  try {
    return window.top !== window && window.top.document ? window.top : null;
  } catch {
    return null;
  }
})();

/** URL of a link, null if it is empty, invalid, or neither http nor https (javascript:, data:). */
export function safeHref(href) {
  if (!href) return null;
  try {
    const url = new URL(href, document.baseURI);
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** A link to Airflow in the top window, or to another site in a new tab; plain text without a valid URL. */
export function externalLink({ label, href }, attributes = {}) {
  const url = safeHref(href);
  if (url === null) return h("span", { title: attributes.title }, label);
  const isOtherSite = url.origin !== window.location.origin;
  return h(
    "a",
    {
      href: url.href,
      target: isOtherSite ? "_blank" : "_top",
      rel: isOtherSite ? "noopener noreferrer" : null,
      ...attributes,
    },
    label,
    isOtherSite ? [" ", icon("external"), h("span", { class: "hidden-text" }, " (opens a new tab)")] : null,
  );
}

/** URL of Airflow's login, which returns to this page. */
export function loginHref() {
  const back = (host ?? window).location.href;
  return new URL(`../api/v2/auth/login?next=${encodeURIComponent(back)}`, document.baseURI).href;
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button > 1) return;
  const wantsTab = event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey;
  const newTab = wantsTab || link.target === "_blank";
  if (!newTab && link.target !== "_top") return;
  event.preventDefault();
  const proxy = host.document.createElement("a");
  proxy.href = link.href;
  if (newTab) {
    proxy.target = "_blank";
    proxy.rel = "noopener noreferrer";
  }
  host.document.body.append(proxy);
  proxy.click();
  proxy.remove();
}

let route = null;

/** Whether Airflow's URL is that of this page: /plugin/<route>/<path>#<hash>. */
const isEmbedded = () => host.location.pathname.endsWith(window.location.pathname);

/** Update Airflow's URL, so that reload and bookmarks restore the view. */
export function notifyHost() {
  if (!host || !isEmbedded()) return;
  route = host.location.pathname.slice(0, -window.location.pathname.length);
  const url = host.location.pathname + window.location.search + window.location.hash;
  if (host.location.pathname + host.location.search + host.location.hash !== url) {
    host.history.replaceState(host.history.state, "", url);
  }
}

/** @param home called when the user selects the page in Airflow's navigation again */
export function mountInHost(home) {
  if (!host) return;
  if (!window.location.hash && host.location.hash.startsWith("#/")) {
    window.history.replaceState(null, "", host.location.hash);
  }
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);
  // Airflow sets its own URL when the page has loaded.
  window.addEventListener("load", () => setTimeout(notifyHost));
  const onNavigation = () => {
    if (route !== null && host.location.pathname === route) home();
  };
  host.navigation?.addEventListener("currententrychange", onNavigation);
  window.addEventListener("pagehide", () => host.navigation?.removeEventListener("currententrychange", onNavigation));
}
