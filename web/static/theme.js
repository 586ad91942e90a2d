// Before the first paint: dark or light, as chosen here before, or as the system says.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be forbidden; the system's choice does
    }
  };
  const dark = () => (remembered() ?? (system.matches ? "dark" : "light")) === "dark";

  function apply() {
    root.dataset.bsTheme = dark() ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(dark()));
  }

  root.classList.add("js");
  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      try {
        localStorage.setItem("theme", dark() ? "light" : "dark");
      } catch {
        return;
      }
      apply();
    });
  });
})();
