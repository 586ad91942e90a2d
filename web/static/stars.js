// A star that is chosen is sent at once.
const form = document.getElementById("stars");
form.addEventListener("change", () => form.requestSubmit());
