// The form for a new picture, which all modules here are about.
export const form = document.getElementById("new");

/** Make a new element of this kind with these properties. */
export const make = (kind, properties) => Object.assign(document.createElement(kind), properties);
