// How much the photograph and the paintings have to say, in words.
import { form } from "./form.js";

const balance = document.getElementById("balance");
const weight = document.getElementById("content_weight");
const weights = JSON.parse(balance.dataset.weights); // of the photograph, at each place of the slider

function showBalance() {
  const place = (Number(balance.value) - Number(balance.min)) / Number(balance.step);
  const less = Number(balance.dataset.weight) / (weight.value ? Number(weight.value) : weights[place]);
  const times = Math.max(less, 1 / less);
  const factor = times >= 10 ? times.toFixed(0) : String(Number(times.toFixed(1)));
  let words = "In the middle: both have their say.";
  if (less > 4) words = `The paintings rule; the photograph counts ${factor} times less.`;
  else if (less > 1) words = `More painting: the photograph counts ${factor} times less.`;
  else if (less < 1 / 4) words = `The photograph rules; it counts ${factor} times more.`;
  else if (less < 1) words = `More photograph: it counts ${factor} times more.`;
  if (weight.value && !(less > 0 && less < Infinity)) words = "As the content weight below says.";
  document.getElementById("balance-words").textContent = words;
  balance.setAttribute("aria-valuetext", words);
}

balance.addEventListener("input", () => {
  weight.value = "";
  showBalance();
});
weight.addEventListener("input", showBalance);
form.addEventListener("draft", showBalance);
showBalance();
