/* Messages that replace or precede the content when a request failed. */

import { h } from "./dom.js";
import { externalLink, loginHref } from "./embedding.js";

const retryButton = (retry) => h("button", { type: "button", class: "button", click: retry }, "Try again");

const CONTENTS = {
  login: () => ["You are not logged in.", externalLink({ label: "Log in again", href: loginHref() }, { class: "button" })],
  forbidden: () => ["You are not allowed to see this page. It requires the permission to read the audience's DAG.", null],
  missing: () => ["Audience not found. Its definition may have been removed or renamed.", null],
  server: (error, retry) => [`${error.message} See the log of Airflow's API server.`, retryButton(retry)],
  network: (error, retry) => [`${error.message} Check your connection.`, retryButton(retry)],
};

/** Message that replaces the content. */
export function errorPage(error, retry) {
  const [text, action] = CONTENTS[error.kind](error, retry);
  return h("section", { class: "blank", role: "alert" }, h("h2", {}, "Nothing to show"), h("p", {}, text), action);
}

/** Message above content that could not be refreshed; since is the time of its data. */
export function staleNotice(error, retry, since) {
  const [text, action] = CONTENTS[error.kind](error, retry);
  return h("div", { class: "notice bad", role: "status" }, h("span", {}, `${text} The data shown is from ${since}.`), action);
}
