/*
 * Light or dark, as Airflow is set. Airflow (3.3, next-themes) keeps "light", "dark" or "system" in localStorage under
 * "theme", and the outcome as a class of its <html>. A classic script in the head: it runs before anything is painted.
 */
(() => {
  "use strict";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  /** The <html> of the Airflow that this page lies in, if there is one that we may look at. */
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

  const wanted = () => {
    for (const name of ["dark", "light"]) {
      if (host?.classList.contains(name)) return name;
    }
    const choice = stored();
    if (choice === "dark" || choice === "light") return choice;
    return system.matches ? "dark" : "light";
  };

  const apply = () => {
    const theme = wanted();
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    root.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  };

  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  if (host) new MutationObserver(apply).observe(host, { attributes: true, attributeFilter: ["class"] });
})();
