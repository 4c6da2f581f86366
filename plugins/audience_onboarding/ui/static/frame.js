/*
 * Life inside Airflow. Its navigation shows this page in an iframe whose sandbox allows neither to navigate the window
 * around it nor to open another. What leads elsewhere is therefore followed by a link in the document around, which has
 * the same origin. Opened directly, the page has plain links.
 */

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** The window of Airflow around this page, null if there is none. */
export const host = (() => {
  try {
    return window.top !== window && window.top.document ? window.top : null;
  } catch {
    return null;
  }
})();

/** An address that may be followed, null for none, and for all others (javascript:, data: and the like). */
export function safeHref(href) {
  if (!href) return null;
  try {
    const url = new URL(href, document.baseURI);
    return ["http:", "https:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** A link out of this page: to Airflow in the top window, to anything else in a new tab. Text, if it is no address. */
export function out({ label, href }, attributes = {}) {
  const url = safeHref(href);
  if (url === null) return h("span", { title: attributes.title }, label);
  const elsewhere = url.origin !== window.location.origin;
  return h(
    "a",
    {
      href: url.href,
      target: elsewhere ? "_blank" : "_top",
      rel: elsewhere ? "noopener noreferrer" : null,
      ...attributes,
    },
    label,
    elsewhere ? [" ", icon("outside"), h("span", { class: "hidden-text" }, " (opens a new tab)")] : null,
  );
}

/** Where one logs in, to come back here. */
export function loginHref() {
  const back = (host ?? window).location.href;
  return new URL(`../api/v2/auth/login?next=${encodeURIComponent(back)}`, document.baseURI).href;
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button > 1) return;
  const asked = event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey;
  const newTab = asked || link.target === "_blank";
  if (!newTab && link.target !== "_top") return;
  event.preventDefault();
  const leaving = host.document.createElement("a");
  leaving.href = link.href;
  if (newTab) {
    leaving.target = "_blank";
    leaving.rel = "noopener noreferrer";
  }
  host.document.body.append(leaving);
  leaving.click();
  leaving.remove();
}

let page = null;

/** Airflow's address for this page is its own route and then that of the page: /plugin/<route>/<path>#<hash>. */
const isShown = () => host.location.pathname.endsWith(window.location.pathname);

/** Keep the address of the window around in step, so that reload and bookmarks come back to the same place. */
export function tellHost() {
  if (!host || !isShown()) return;
  page = host.location.pathname.slice(0, -window.location.pathname.length);
  const wanted = host.location.pathname + window.location.search + window.location.hash;
  if (host.location.pathname + host.location.search + host.location.hash !== wanted) {
    host.history.replaceState(host.history.state, "", wanted);
  }
}

/** @param home called when the reader asks Airflow's navigation for this page again */
export function settleIn(home) {
  if (!host) return;
  if (!window.location.hash && host.location.hash.startsWith("#/")) {
    window.history.replaceState(null, "", host.location.hash);
  }
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", follow);
  // Airflow puts the page's path into its own address as soon as the page is loaded.
  window.addEventListener("load", () => setTimeout(tellHost));
  const changed = () => {
    if (page !== null && host.location.pathname === page) home();
  };
  host.navigation?.addEventListener("currententrychange", changed);
  window.addEventListener("pagehide", () => host.navigation?.removeEventListener("currententrychange", changed));
}
