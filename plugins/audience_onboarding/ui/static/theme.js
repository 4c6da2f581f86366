/*
 * Applies Airflow's light or dark theme. Airflow (3.3, next-themes) stores "light", "dark" or "system" in localStorage
 * under "theme", and sets the resolved theme as a class of its <html>. A classic script in the head, so that it runs before
 * the first paint.
 */
(() => {
  "use strict";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  /** The <html> of the Airflow that embeds this page, null if there is none or it is inaccessible. */
  const host = (() => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null;
    }
  })();

  const stored = () => {
    try {
      return window.localStorage.getItem("theme");
    } catch {
      return null;
    }
  };

  const resolve = () => {
    for (const name of ["dark", "light"]) {
      if (host?.classList.contains(name)) return name;
    }
    const choice = stored();
    if (choice === "dark" || choice === "light") return choice;
    return system.matches ? "dark" : "light";
  };

  const apply = () => {
    const theme = resolve();
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    root.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  };

  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  if (host) new MutationObserver(apply).observe(host, { attributes: true, attributeFilter: ["class"] });
})();
