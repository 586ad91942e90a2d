// Buttons that copy the text of another element.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const place = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(place.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(place); // the clipboard is closed to pages without https
      button.textContent = "Selected: press Ctrl-C";
    }
  });
}
