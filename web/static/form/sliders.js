// A slider beside a number: each step multiplies the usual value by the same.
import { form } from "./form.js";

function connect(slider) {
  const field = form.elements[slider.dataset.sliderOf];
  const usual = Number(slider.dataset.usual);

  function show() {
    const value = field.value === "" ? usual : Number(field.value);
    slider.value = Math.log2(value / usual) || 0; // several numbers are in its middle; 0 is its lower end
    slider.setAttribute("aria-valuetext", field.value || String(usual));
  }

  slider.addEventListener("input", () => {
    field.value = String(Number((usual * 2 ** Number(slider.value)).toPrecision(3)));
    show();
  });
  field.addEventListener("input", show);
  form.addEventListener("draft", show);
  show();
}

for (const slider of form.querySelectorAll("[data-slider-of]")) connect(slider);
