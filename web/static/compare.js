// Photograph and painting as one picture with a handle between them.
import { addHandle } from "./handle.js";

const box = document.getElementById("compare");
addHandle(box, { label: "How much of the photograph shows", words: "photograph" });
box.classList.add("is-live");
