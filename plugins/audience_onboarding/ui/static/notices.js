/* What the page says when there is nothing to show. */

import { h } from "./dom.js";
import { loginHref, out } from "./frame.js";

const again = (retry) => h("button", { type: "button", class: "button", click: retry }, "Try again");

const PARTS = {
  login: () => ["You are not logged in any more.", out({ label: "Log in again", href: loginHref() }, { class: "button" })],
  forbidden: () => ["You are not allowed to see this. It takes the permission to read the audience's DAG.", null],
  missing: () => ["There is no such audience. Its definition may have been removed or renamed.", null],
  server: (error, retry) => [`${error.message} The log of Airflow's API server says more.`, again(retry)],
  network: (error, retry) => [`${error.message} Check your connection.`, again(retry)],
};

/** Instead of the page. */
export function blankFor(error, retry) {
  const [text, way] = PARTS[error.kind](error, retry);
  return h("section", { class: "blank", role: "alert" }, h("h2", {}, "Nothing to show"), h("p", {}, text), way);
}

/** Above what is there already, and is not new any more. */
export function staleFor(error, retry, since) {
  const [text, way] = PARTS[error.kind](error, retry);
  return h("div", { class: "notice bad", role: "status" }, h("span", {}, `${text} What you see is from ${since}.`), way);
}
